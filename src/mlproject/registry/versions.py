"""Versions of the registered model: self-contained reward models, their tags and the digests of their files."""

from __future__ import annotations

import filecmp
import logging
import tempfile
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mlproject.digest import digest_of_files
from mlproject.errors import UserError, first_line
from mlproject.names import Alias, Artifact, Kind, Status, Tag, VersionTag
from mlproject.names.quoting import filter_value
from mlproject.tracking.artifact_files import fetch_uri, local_path, log_folder, share_files
from mlproject.tracking.run_data import artifact

_EXAMPLE = pd.DataFrame(
    {"prompt": ["hello , my old phone is very slow . please help"], "response": ["restart phone ."]}
)
_REQUIREMENTS = ("mlflow", "pandas", "torch", "transformers")
_MODEL_IN_SCORER = "artifacts/model"
"""Where MLflow copies the model to."""
_MLFLOW_FILES = ("MLmodel", "registered_model_meta")
"""Files of MLflow: one differs each time a model is saved (times, ids), one appears when a folder is loaded."""


def create_registered_model(client: MlflowClient, name: str) -> None:
    """Create the registered model unless it exists."""
    try:
        client.create_registered_model(name, description="Proxy reward models, by how they hold up under optimization.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def version_by_alias(client: MlflowClient, name: str, alias: str = Alias.CHAMPION) -> ModelVersion | None:
    """The version that an alias points to; None if the alias is not set."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def versions_by_proxy(client: MlflowClient, name: str) -> dict[str, ModelVersion]:
    """All versions that are proxy RMs of this project, by run id of the proxy RM."""
    versions: dict[str, ModelVersion] = {}
    token = None
    while True:
        page = client.search_model_versions(f"name = {filter_value(name)}", page_token=token)
        versions |= {v.tags[Tag.PROXY_RUN_ID]: v for v in page if Tag.PROXY_RUN_ID in v.tags}
        token = page.token
        if not token:
            return versions


def register(client: MlflowClient, name: str, proxy: Run, registered: Mapping[str, ModelVersion]) -> str:
    """Register a proxy RM as a version unless it is registered.

    Args:
        client: client of the store.
        name: name of the registered model.
        proxy: run of the proxy RM.
        registered: existing versions by run id of the proxy RM.

    Returns:
        the version number.
    """
    if proxy.info.run_id in registered:
        version = registered[proxy.info.run_id]
        if VersionTag.SHA256 not in version.tags:  # registered before versions had a digest
            set_tags(
                client,
                name,
                str(version.version),
                {VersionTag.SHA256: _current_digest(client, version), VersionTag.STATUS: Status.CANDIDATE},
            )
        return str(version.version)
    digest = log_scorer(client, proxy.info.run_id)
    created = client.create_model_version(
        name,
        source=f"{proxy.info.artifact_uri}/{Artifact.SCORER}",
        run_id=proxy.info.run_id,
        tags={Tag.PROXY_RUN_ID: proxy.info.run_id, VersionTag.STATUS: Status.CANDIDATE, VersionTag.SHA256: digest},
    )
    return str(created.version)


def set_tags(client: MlflowClient, name: str, version: str, tags: Mapping[str, str]) -> None:
    """Set version tags, skipping those that already have the value."""
    current = client.get_model_version(name, version).tags
    for key, value in tags.items():
        if current.get(key) != value:
            client.set_model_version_tag(name, version, key, value)


def log_scorer(client: MlflowClient, proxy_run_id: str) -> str:
    """Log the proxy RM as a self-contained pyfunc, without pickles, among the artifacts of its run.

    Returns:
        digest of its files.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    model = artifact(client, proxy_run_id, Artifact.MODEL)
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # it announces every check of the example
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / Artifact.SCORER
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(Path(__file__).with_name("pyfunc_scorer.py")),
            artifacts={"model": str(model)},
            signature=ModelSignature(
                inputs=Schema([ColSpec("string", "prompt"), ColSpec("string", "response")]),
                outputs=Schema([ColSpec("double", "reward")]),
            ),
            input_example=_EXAMPLE,
            pip_requirements=[f"{package}=={installed(package).partition('+')[0]}" for package in _REQUIREMENTS],
        )
        log_folder(client, proxy_run_id, folder, Artifact.SCORER)
        digest = version_digest(folder)
    logged = local_path(client.get_run(proxy_run_id).info.artifact_uri)
    if logged is not None:
        share_files(logged / Artifact.SCORER / _MODEL_IN_SCORER, model)
    return digest


def version_digest(folder: Path) -> str:
    """SHA-256 of the names and contents of all files of a version that its scores depend on."""
    files = folder.rglob("*")
    return digest_of_files(folder, (path for path in files if path.name not in _MLFLOW_FILES and path.suffix != ".pyc"))


def verify(client: MlflowClient, version: ModelVersion) -> None:
    """Check that the files of a version, and those of its run in a local store, are as they were registered.

    Raises:
        UserError: if they are missing or have changed, or the version has no digest.
    """
    label, expected = f"{version.name} version {version.version}", version.tags.get(VersionTag.SHA256)
    if expected is None:
        raise UserError(
            f"{label}: has no tag {VersionTag.SHA256}, so its files cannot be checked. Run `promote`, which adds it."
        )
    try:
        current = _current_digest(client, version)
    except (MlflowException, OSError) as error:
        raise UserError(f"{label}: its files cannot be read ({first_line(error)}). Register the model again.") from None
    if current != expected:
        raise UserError(
            f"{label}: its files have changed since it was registered (SHA-256 {current[:12]} instead of "
            f"{expected[:12]}). Restore them, or train and register the model again."
        )
    if not _is_its_run(client, version):
        raise UserError(
            f"{label}: the files of its run {_run_id(version)} have changed since it was registered, and are what is "
            f"used. Restore those in {Artifact.MODEL}/ from the version's {_MODEL_IN_SCORER}/."
        )


def _run_id(version: ModelVersion) -> str:
    return str(version.tags.get(Tag.PROXY_RUN_ID) or version.run_id or "")


def _is_its_run(client: MlflowClient, version: ModelVersion) -> bool:
    """Whether the run of a version has the version's weights; True where that would take a download of its own."""
    try:
        run = client.get_run(_run_id(version)).info
    except MlflowException:  # removed for good
        return True
    source, artifacts = local_path(version.source), local_path(run.artifact_uri)
    if source is None or artifacts is None or not (artifacts / Artifact.MODEL).is_dir():
        return True
    kept, used = source / _MODEL_IN_SCORER, artifacts / Artifact.MODEL
    names, others = ({path.relative_to(top) for path in top.rglob("*") if path.is_file()} for top in (kept, used))
    return names == others and all(_is_same(kept / name, used / name) for name in names)


def _is_same(one: Path, other: Path) -> bool:
    return one.samefile(other) or filecmp.cmp(one, other, shallow=False)


def _current_digest(client: MlflowClient, version: ModelVersion) -> str:
    """Digest of the files that a version has now."""
    return version_digest(fetch_uri(client, version.source))


def resolve_version(client: MlflowClient, uri: str) -> ModelVersion:
    """The version that a registry URI names; its files are not verified (see `verify`).

    Args:
        client: client of the store.
        uri: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        UserError: if there is no such version.
    """
    name, _, alias = uri.removeprefix("models:/").partition("@")
    try:
        if alias:
            version = client.get_model_version_by_alias(name, alias)
        else:
            version = client.get_model_version(*name.split("/"))
    except (MlflowException, TypeError) as error:
        raise UserError(
            f"proxy={uri}: not found ({first_line(error)}). Give a size, a run id or models:/NAME@ALIAS."
        ) from None
    return version


def resolve_proxy(client: MlflowClient, name: str) -> Run:
    """The run of a proxy RM.

    Args:
        client: client of the store.
        name: run id, `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        UserError: if there is no such run or version, or its files have changed.
    """
    run_id = name
    if name.startswith("models:/"):
        version = resolve_version(client, name)
        verify(client, version)
        run_id = _run_id(version)
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise UserError(
            f"proxy={name}: not found ({first_line(error)}). Give a size, a run id or models:/NAME@ALIAS."
        ) from None
    kind = run.data.tags.get(Tag.KIND)
    if kind != Kind.PROXY_RM or run.info.status != "FINISHED":
        raise UserError(
            f"proxy={name}: is a {kind or 'foreign'} run with status {run.info.status}, but must be a finished "
            "proxy-rm run. Give another run id."
        )
    return run
