"""Versions of the registered model: a reward model that stands on its own, and what is said of it in tags."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path

import mlflow.artifacts
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mlproject.digest import digest_of_files
from mlproject.errors import UserError, first_line
from mlproject.names import Alias, Artifact, Kind, Status, Tag, VersionTag
from mlproject.tracking.runs import artifact

_EXAMPLE = pd.DataFrame(
    {"prompt": ["hello , my old phone is very slow . please help"], "response": ["restart phone ."]}
)
_REQUIREMENTS = ("mlflow", "pandas", "torch", "transformers")
_NOT_OURS = ("MLmodel", "registered_model_meta")
"""MLflow's own descriptions: one differs with every saving (times, ids), one appears when it loads from a folder."""


def create_registered_model(client: MlflowClient, name: str) -> None:
    """Make the registered model, unless it is there."""
    try:
        client.create_registered_model(name, description="Proxy reward models, by how they hold up under optimization.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def holder(client: MlflowClient, name: str, alias: str = Alias.CHAMPION) -> ModelVersion | None:
    """The version that an alias belongs to; None where it belongs to none."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def versions_by_proxy(client: MlflowClient, name: str) -> dict[str, ModelVersion]:
    """All versions, by the run id of their proxy RM."""
    found: dict[str, ModelVersion] = {}
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found |= {v.tags[Tag.PROXY_RUN_ID]: v for v in page if Tag.PROXY_RUN_ID in v.tags}
        token = page.token
        if not token:
            return found


def register(client: MlflowClient, name: str, proxy: Run, known: Mapping[str, ModelVersion]) -> str:
    """Make a proxy RM a version, unless it is one.

    Args:
        client: of the store.
        name: of the registered model.
        proxy: run of the proxy RM.
        known: versions by the run id of their proxy RM.

    Returns:
        the version.
    """
    if proxy.info.run_id in known:
        version = known[proxy.info.run_id]
        if VersionTag.SHA256 not in version.tags:  # registered before versions had one
            set_tags(
                client,
                name,
                str(version.version),
                {VersionTag.SHA256: _digest_now(client, version), VersionTag.STATUS: Status.CANDIDATE},
            )
        return str(version.version)
    digest = log_scorer(client, proxy.info.run_id)
    made = client.create_model_version(
        name,
        source=f"{proxy.info.artifact_uri}/{Artifact.SCORER}",
        run_id=proxy.info.run_id,
        tags={Tag.PROXY_RUN_ID: proxy.info.run_id, VersionTag.STATUS: Status.CANDIDATE, VersionTag.SHA256: digest},
    )
    return str(made.version)


def set_tags(client: MlflowClient, name: str, version: str, tags: Mapping[str, str]) -> None:
    """Set several version tags, those that differ."""
    known = client.get_model_version(name, version).tags
    for key, value in tags.items():
        if known.get(key) != value:
            client.set_model_version_tag(name, version, key, value)


def log_scorer(client: MlflowClient, proxy_run_id: str) -> str:
    """Save the proxy RM as a pyfunc that stands on its own, among its run's artifacts (no pickle in it).

    Returns:
        digest of its files.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    model = artifact(client, proxy_run_id, Artifact.MODEL)
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # says that it looks at the example
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
        client.log_artifacts(proxy_run_id, str(folder), Artifact.SCORER)
        return digest_of(folder)


def digest_of(folder: Path) -> str:
    """SHA-256 over the names and contents of all files of a version that decide what it answers."""
    files = folder.rglob("*")
    return digest_of_files(folder, (path for path in files if path.name not in _NOT_OURS and path.suffix != ".pyc"))


def verify(client: MlflowClient, version: ModelVersion) -> None:
    """Check that a version's files are those that were registered.

    Raises:
        UserError: where they are gone or differ.
    """
    named, expected = f"{version.name} version {version.version}", version.tags.get(VersionTag.SHA256)
    if expected is None:
        raise UserError(
            f"{named}: has no tag {VersionTag.SHA256}, so its files cannot be checked; run `promote`, which adds it"
        )
    try:
        found = _digest_now(client, version)
    except (MlflowException, OSError) as error:
        raise UserError(f"{named}: its files cannot be read ({first_line(error)}); register the model anew") from None
    if found != expected:
        raise UserError(
            f"{named}: its files have changed since it was registered (SHA-256 {found[:12]} instead of "
            f"{expected[:12]}); restore them, or train and register the model anew"
        )


def _digest_now(client: MlflowClient, version: ModelVersion) -> str:
    """Digest of a version's files as they are."""
    with tempfile.TemporaryDirectory() as scratch:
        remote = client.tracking_uri.startswith("http")
        folder = mlflow.artifacts.download_artifacts(
            artifact_uri=version.source, dst_path=scratch if remote else None, tracking_uri=client.tracking_uri
        )
        return digest_of(Path(folder))


def resolve_version(client: MlflowClient, given: str) -> ModelVersion:
    """The version that a registry URI names; its files are not looked at (see `verify`).

    Args:
        client: of the store.
        given: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        UserError: where there is none.
    """
    name, _, alias = given.removeprefix("models:/").partition("@")
    try:
        if alias:
            version = client.get_model_version_by_alias(name, alias)
        else:
            version = client.get_model_version(*name.split("/"))
    except (MlflowException, TypeError) as error:
        raise UserError(
            f"proxy={given}: not found ({first_line(error)}); give a size, a run id or models:/NAME@ALIAS"
        ) from None
    return version


def resolve_proxy(client: MlflowClient, given: str) -> Run:
    """The run of a proxy RM given by run id or registry URI (`models:/NAME@ALIAS`, `models:/NAME/VERSION`).

    Raises:
        UserError: where there is none, or its files have changed.
    """
    run_id = given
    if given.startswith("models:/"):
        version = resolve_version(client, given)
        verify(client, version)
        run_id = version.tags.get(Tag.PROXY_RUN_ID) or version.run_id or ""
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise UserError(
            f"proxy={given}: not found ({first_line(error)}); give a size, a run id or models:/NAME@ALIAS"
        ) from None
    kind = run.data.tags.get(Tag.KIND)
    if kind != Kind.PROXY_RM or run.info.status != "FINISHED":
        raise UserError(f"proxy={given}: is a {kind or 'foreign'} run, {run.info.status}; give a finished proxy-rm run")
    return run
