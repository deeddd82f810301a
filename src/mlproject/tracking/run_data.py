"""What is read back from runs: artifacts, curves, metrics by step, and the law run that a user names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run, RunTag
from mlflow.exceptions import MlflowException

from mlproject.curve import Curve
from mlproject.errors import UserError, first_line
from mlproject.names import Artifact, GoldKind, Kind, Tag, TagPrefix
from mlproject.names.escape import full_names
from mlproject.tracking.artifact_files import fetch
from mlproject.tracking.kept_artifacts import lost, missing_artifact
from mlproject.tracking.store import Store, all_runs


def full_name_tags(names: Iterable[str]) -> list[RunTag]:
    """The tags that say in full what those names are that are too long for a key."""
    return [RunTag(TagPrefix.FULL_NAME + digest, name) for digest, name in full_names(names).items()]


def artifact(client: MlflowClient, run: Run | str, name: str = "") -> Path:
    """A file or folder among the artifacts of a run, or the folder with all of them; downloaded if the store is remote.

    Args:
        client: client of the store.
        run: the run, or its id, which costs a request.
        name: of the artifact; empty for the folder.

    Raises:
        UserError: if the run has lost it.
    """
    try:
        return fetch(client, run, name)
    except (MlflowException, OSError):
        run_id = run if isinstance(run, str) else run.info.run_id
        if not missing_artifact(client, run_id):
            raise
        raise lost(run_id, name or "the folder") from None


def curve_of(client: MlflowClient, run: Run | str) -> Curve:
    """The curve of a policy run: of the run itself, or by its id, which costs a request."""
    return Curve.load(artifact(client, run, Artifact.CURVE))


def values_by_step(client: MlflowClient, run_id: str, metric: str) -> Mapping[int, float]:
    """The values of a metric of a run, by step."""
    return {entry.step: entry.value for entry in client.get_metric_history(run_id, metric)}


def resolve_law(client: MlflowClient, store: Store, law: str) -> Run:
    """A finished run of kind `law`.

    Args:
        client: client of the store.
        store: where `latest` is looked for.
        law: run id, or `latest`.

    Raises:
        UserError: if there is no such run.
    """
    if law == "latest":
        laws = all_runs(client, [store.studies], f"attributes.status = 'FINISHED' and tags.`{Tag.KIND}` = '{Kind.LAW}'")
        laws = [run for run in laws if run.data.tags.get(Tag.GOLD) != GoldKind.COLUMN]  # which know no sizes
        if not laws:
            raise UserError("forecast_prior=latest: this store has no finished law run. Run `main` first.")
        return laws[0]
    try:
        run = client.get_run(law)
    except MlflowException as error:
        raise UserError(
            f"forecast_prior={law}: must be the run id of a law run ({first_line(error)}). Give one, or latest."
        ) from None
    if run.data.tags.get(Tag.KIND) != Kind.LAW or run.info.status != "FINISHED":
        kind = run.data.tags.get(Tag.KIND) or "foreign"
        raise UserError(
            f"forecast_prior={law}: must be a finished law run, is a {kind} run that is {run.info.status}. Give "
            "another, or latest."
        )
    return run
