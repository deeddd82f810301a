"""Whether a finished run still has its artifacts: people clear folders and buckets, and leave the runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import FileInfo

from mlproject.errors import UserError
from mlproject.names import Artifact, Kind, Tag
from mlproject.strict_json import strict_json

_NEEDED: Mapping[str, Sequence[tuple[str, ...]]] = {
    Kind.INITIAL_POLICY: [(Artifact.MODEL,)],
    Kind.GOLD_RM: [(Artifact.MODEL, Artifact.SCORER_FUNCTION), (Artifact.UNITS,)],
    Kind.COMPARISONS: [(Artifact.COMPARISONS,)],
    Kind.PROXY_RM: [(Artifact.MODEL,)],
    Kind.TEST_RM: [(Artifact.MODEL,)],
    Kind.POOL: [(Artifact.POOL,)],
    Kind.POLICY_RUN: [(Artifact.CURVE,)],
    Kind.LAW: [(Artifact.LAWS,), (Artifact.PRIORS,)],
}
"""What runs of 0.1, which did not say what they left, have at least: one of each."""

_MAX_LENGTH = 8000
"""Characters of a tag's value."""


def artifact_tags(folder: Path) -> dict[str, str]:
    """The tag that says which files a run leaves: their sizes in bytes by path; none where they are too many."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    text = strict_json(sizes, separators=(",", ":"))
    return {Tag.ARTIFACTS: text} if len(text) <= _MAX_LENGTH else {}


def missing_artifact(client: MlflowClient, run_id: str) -> str:
    """The first artifact that a finished run has lost, or that has another size now; empty where all are there."""
    run = client.get_run(run_id)
    try:
        found = {info.path: info.file_size for info in _files(client, run_id)}
    except Exception:  # a store that cannot be listed now has lost nothing: whoever reads from it will be told
        return ""
    tops = {path.partition("/")[0] for path in found}
    stated = run.data.tags.get(Tag.ARTIFACTS)
    if stated is not None:
        return next((path for path, size in json.loads(stated).items() if found.get(path) != size), "")
    needed = _NEEDED.get(run.data.tags.get(Tag.KIND, ""), ())
    return next((names[0] for names in needed if not tops & set(names)), "")


def _files(client: MlflowClient, run_id: str, folder: str | None = None) -> Iterator[FileInfo]:
    for info in client.list_artifacts(run_id, folder):
        if info.is_dir:
            yield from _files(client, run_id, info.path)
        else:
            yield info


def lost(run_id: str, name: str) -> UserError:
    """The mistake of naming, or reading, a run whose artifacts are gone."""
    return UserError(
        f"run {run_id}: must still have its artifacts, but {name} is gone. Restore it, or repeat the command that made "
        "the run, which makes it anew."
    )
