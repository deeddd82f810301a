"""Artifacts as files: read where they lie if this machine sees the store's folder, downloaded otherwise.

Equal files of a local store can be one file on the disk, by hard links: a registered version shares the weights of its
run. A file is therefore never written to where it lies, but replaced.
"""

from __future__ import annotations

import filecmp
import os
import tempfile
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri


def local_path(uri: str) -> Path | None:
    """Where artifacts lie; None if their store has to be asked for them."""
    return Path(local_file_uri_to_path(uri)) if is_local_uri(uri) else None


def fetch(client: MlflowClient, run: Run | str, name: str = "", into: Path | None = None) -> Path:
    """A file or folder among the artifacts of a run.

    Args:
        client: client of the store.
        run: the run, or its id, which costs a request.
        name: of the artifact; empty for the folder with all of them.
        into: where it is downloaded if it has to be; None: a new temporary folder.

    Raises:
        OSError: if there is none of that name in a local store.
        MlflowException: if a remote store does not give it.
    """
    run_id, found = (run, client.get_run(run)) if isinstance(run, str) else (run.info.run_id, run)
    folder = local_path(found.info.artifact_uri)
    if folder is not None:
        return _existing(folder / name)
    downloads = into or Path(tempfile.mkdtemp(prefix="mlproject-download-"))
    path = mlflow.artifacts.download_artifacts(
        run_id=run_id, artifact_path=name or None, dst_path=str(downloads), tracking_uri=client.tracking_uri
    )
    return Path(path)


def fetch_uri(client: MlflowClient, uri: str) -> Path:
    """The folder that a URI of the store names, such as the source of a registered version.

    Raises:
        OSError: if it is not there in a local store.
        MlflowException: if a remote store does not give it.
    """
    folder = local_path(uri)
    if folder is not None:
        return _existing(folder)
    downloads = tempfile.mkdtemp(prefix="mlproject-download-")
    return Path(
        mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=downloads, tracking_uri=client.tracking_uri)
    )


def download(repository: ArtifactRepository, path: str, into: Path) -> Path:
    """Download a file of a repository of artifacts into a folder."""
    return Path(repository.download_artifacts(path, str(into)))


def log_folder(client: MlflowClient, run_id: str, folder: Path, path: str = "") -> None:
    """Add all files of a folder to the artifacts of a run; files of the same names are replaced.

    Args:
        client: client of the store.
        run_id: of the run.
        folder: of the files.
        path: folder among the artifacts; empty for the top.
    """
    target = local_path(client.get_run(run_id).info.artifact_uri)
    if target is not None:
        for file in folder.rglob("*"):  # MLflow would write into the files that are there, and so into those they share
            if file.is_file():
                (target / path / file.relative_to(folder)).unlink(missing_ok=True)
    client.log_artifacts(run_id, str(folder), path or None)


def share_files(folder: Path, original: Path) -> None:
    """Let the files of a folder that another one has too, by name and content, be the same files on the disk.

    Nothing happens where the file system has no hard links.
    """
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        twin = original / file.relative_to(folder)
        if not twin.is_file() or twin.samefile(file) or not filecmp.cmp(twin, file, shallow=False):
            continue
        link = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            link.hardlink_to(twin)
            link.replace(file)
        except OSError:
            link.unlink(missing_ok=True)
            return


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"no such artifact: {path}")
    return path
