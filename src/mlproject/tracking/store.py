"""Where runs are kept: the tracking server, its three experiments, and the artifacts beside the database."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from mlproject.errors import UserError, first_line
from mlproject.names import ExperimentSuffix, Kind

_SQLITE = "sqlite:///"
_PAGE = 500


@dataclass(frozen=True)
class Store:
    """A tracking server with the project's experiments. Small and picklable: workers open their own client from it.

    Attributes:
        tracking_uri: absolute.
        policy_runs, models, studies: experiment ids.
    """

    tracking_uri: str
    policy_runs: str
    models: str
    studies: str

    def client(self) -> MlflowClient:
        return MlflowClient(self.tracking_uri)

    @property
    def experiments(self) -> list[str]:
        return [self.policy_runs, self.models, self.studies]

    def experiment_of(self, kind: str) -> str:
        """Policy runs lie flat in an experiment of their own, models and studies apart."""
        if kind == Kind.POLICY_RUN:
            return self.policy_runs
        models = (Kind.INITIAL_POLICY, Kind.GOLD_RM, Kind.COMPARISONS, Kind.POOL, Kind.PROXY_RM, Kind.TEST_RM)
        return self.models if kind in models else self.studies

    @property
    def folder(self) -> Path | None:
        """Folder of the SQLite store; None for a server."""
        return _folder_of(self.tracking_uri)


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or `mlflow.db` in the current folder; SQLite paths are made absolute.

    Raises:
        UserError: for a kind of store that MLflow no longer takes.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}mlflow.db"
    if uri.startswith(_SQLITE):
        return _SQLITE + str(Path(uri.removeprefix(_SQLITE)).expanduser().absolute())
    if not uri.startswith(("http://", "https://", "postgresql", "mysql", "mssql", "databricks")):
        raise UserError(
            f"MLFLOW_TRACKING_URI={hide_password(uri)}: allowed are sqlite:///PATH, a database URL or "
            "http(s)://SERVER; set one"
        )
    return uri


def open_store(experiment: str) -> Store:
    """Connect, and create what is missing, before any worker starts.

    Experiments get an explicit artifact folder beside the SQLite database: a project that MLflow runs from a git URL
    lives in a temporary folder, and its artifacts would vanish with it.

    Raises:
        UserError: where the store cannot be reached or an experiment of that name was deleted.
    """
    uri = tracking_uri()
    os.environ["MLFLOW_TRACKING_URI"] = uri
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # there is one display, our own
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # says that it makes tables
    if uri.startswith("http"):
        _check_server(uri)
    folder = _folder_of(uri)
    if folder is not None and not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise UserError(
            f"MLFLOW_TRACKING_URI={hide_password(uri)}: the folder {folder} must exist and be writable; create it"
        )
    try:
        client = MlflowClient(uri)
        ids = [
            _experiment(client, experiment + suffix, folder)
            for suffix in (ExperimentSuffix.POLICY_RUNS, ExperimentSuffix.MODELS, ExperimentSuffix.STUDIES)
        ]
    except MlflowException as error:
        raise UserError(f"MLFLOW_TRACKING_URI={hide_password(uri)}: {first_line(error)}") from error
    if folder is not None:
        with sqlite3.connect(uri.removeprefix(_SQLITE), timeout=20) as database:
            database.execute("PRAGMA journal_mode=WAL")  # readers do not wait for writers; single writes 20-30 % faster
    return Store(uri, *ids)


def _folder_of(uri: str) -> Path | None:
    return Path(uri.removeprefix(_SQLITE)).parent if uri.startswith(_SQLITE) else None


def _experiment(client: MlflowClient, name: str, folder: Path | None) -> str:
    location = None if folder is None else (folder / "mlruns" / name).as_uri()
    for _ in range(3):
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return client.create_experiment(name, artifact_location=location)
            except MlflowException as error:  # another process was faster
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                time.sleep(0.2)
                continue
        if found.lifecycle_stage == "deleted":
            raise UserError(f"experiment={name}: was deleted; restore it (mlflow experiments restore) or name another")
        return found.experiment_id
    raise UserError(f"experiment={name}: could not be created; try again")


def _check_server(uri: str) -> None:
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=10)
    except requests.RequestException as error:
        raise UserError(
            f"MLFLOW_TRACKING_URI={hide_password(uri)}: no server answers ({type(error).__name__}); "
            "start it or unset the variable"
        ) from None


def hide_password(url: str) -> str:
    """A database or server URL fit to be shown or kept."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", url)


def all_experiments(client: MlflowClient) -> list[str]:
    """Ids of all experiments: MLflow puts the run of `mlflow run` into whichever the user names."""
    return [experiment.experiment_id for experiment in client.search_experiments()]


def all_runs(client: MlflowClient, experiments: list[str], filter_string: str = "") -> list:
    """Every active run of some experiments, newest first."""
    runs, token = [], None
    while True:
        page = client.search_runs(
            experiments,
            filter_string,
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=_PAGE,
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            return runs
