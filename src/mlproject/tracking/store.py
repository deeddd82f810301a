"""Where runs are kept: the tracking server, its three experiments, and the artifacts beside the database."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import requests
from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
from sqlalchemy.exc import SQLAlchemyError

from mlproject.errors import UserError, first_line
from mlproject.names import ExperimentSuffix, Kind
from mlproject.options.paths import expanded
from mlproject.options.secrets import mask
from mlproject.tracking.database import Database, ensure_database, remaining_tables, table_names
from mlproject.tracking.patience import lengthen
from mlproject.tracking.reachable import check_artifacts, check_database

_SQLITE = "sqlite:///"
_PAGE = 500
"""Runs asked for at a time."""

_MADE_WITH_ROWS = frozenset({"alembic_version", "workspaces"})
"""Tables into which MLflow puts rows while it makes a database."""

_MODEL_KINDS = (
    Kind.INITIAL_POLICY, Kind.GOLD_RM, Kind.COMPARISONS, Kind.POOL_SAMPLES, Kind.POOL, Kind.SCORED_SAMPLES,
    Kind.PROXY_RM, Kind.TEST_RM,
)  # fmt: skip


@dataclass(frozen=True)
class Store:
    """A tracking server with the project's experiments. Small and picklable: every worker opens its own client.

    Attributes:
        tracking_uri: absolute.
        policy_runs, models, studies: experiment ids.
    """

    tracking_uri: str
    policy_runs: str
    models: str
    studies: str

    def client(self) -> MlflowClient:
        """A new client of the server."""
        lengthen()
        return MlflowClient(self.tracking_uri)

    @property
    def experiments(self) -> list[str]:
        """Ids of the three experiments."""
        return [self.policy_runs, self.models, self.studies]

    def experiment_of(self, kind: str) -> str:
        """Id of the experiment that runs of a kind belong to: one for policy runs, one for models, one for the rest."""
        if kind == Kind.POLICY_RUN:
            return self.policy_runs
        return self.models if kind in _MODEL_KINDS else self.studies

    @property
    def folder(self) -> Path | None:
        """Folder of the SQLite database; None for a server."""
        return _folder_of(self.tracking_uri)


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or `mlflow.db` in the current folder; SQLite paths are made absolute.

    Raises:
        UserError: for a kind of store that MLflow no longer supports.
    """
    return resolved_uri()


def resolved_uri(uri: str = "") -> str:
    """A tracking URI as it is used: without one, that of `tracking_uri`; SQLite paths are made absolute.

    Raises:
        UserError: for a kind of store that MLflow no longer supports.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}mlflow.db"
    if uri.startswith(_SQLITE):
        if "?" in uri:
            raise UserError(f"{_setting(uri)}: must be sqlite:///PATH, without options. Leave out what follows the ?.")
        return _SQLITE + str(expanded(uri.removeprefix(_SQLITE)).absolute())
    if not uri.startswith(("http://", "https://", "postgresql", "mysql", "mssql", "databricks")):
        raise UserError(
            f"{_setting(uri)}: must be sqlite:///PATH, a database URL or http(s)://SERVER. Set one of these, or unset "
            "the variable."
        )
    if uri.startswith(("http://", "https://")) and ("?" in uri or "#" in uri):  # MLflow would put its paths behind it
        raise UserError(
            f"{_setting(uri)}: must be http(s)://SERVER, with nothing after a ? or #. Give a token by "
            "MLFLOW_TRACKING_TOKEN, a password by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
    return uri


def open_store(experiment: str) -> Store:
    """Connect to the tracking server and create missing experiments, before any worker starts.

    Experiments get an explicit artifact folder beside the SQLite database: a project that MLflow runs from a git URL
    is in a temporary folder, and its artifacts would be deleted with that folder.

    Args:
        experiment: name of the experiment of policy runs; the names of the other two begin with it.

    Raises:
        UserError: if the store cannot be reached, or an experiment of that name was deleted.
    """
    uri = tracking_uri()
    os.environ["MLFLOW_TRACKING_URI"] = uri
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # the study has a display of its own
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    lengthen()
    if uri.startswith("http"):
        _check_server(uri)
    folder = _folder_of(uri)
    if folder is not None and not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise UserError(f"{_setting(uri)}: {folder} must be a writable folder. Create it, or set another path.")
    try:
        if folder is not None:
            ensure_database(Path(uri.removeprefix(_SQLITE)), _make_database, _is_half_made)
        if not uri.startswith(("http", "databricks")):
            check_database(uri, _setting(uri))
        client = MlflowClient(uri)
        ids = [
            _experiment_id(client, experiment + suffix, folder)
            for suffix in (ExperimentSuffix.POLICY_RUNS, ExperimentSuffix.MODELS, ExperimentSuffix.STUDIES)
        ]
    except (MlflowException, SQLAlchemyError, CommandError, OSError) as error:
        raise UserError(
            f"{_setting(uri)}: must be a store that MLflow can open ({mask(first_line(error))}). Repair it, or set "
            "another."
        ) from error
    check_artifacts(client.get_experiment(ids[0]).artifact_location, uri, _setting(uri))
    if folder is not None:
        _use_wal(uri)
    return Store(uri, *ids)


def _make_database(uri: str) -> None:
    sqlalchemy_store = import_module("mlflow.store.tracking.sqlalchemy_store")  # slow, and needed once for a store
    sqlalchemy_store.SqlAlchemyStore(uri, DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
    _use_wal(uri)


def _use_wal(uri: str) -> None:
    """With a write-ahead log reads do not wait for writes, and single writes are 20-30 % faster."""
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(uri.removeprefix(_SQLITE), timeout=20)) as database,
    ):
        database.execute("PRAGMA journal_mode=WAL")  # fails while somebody writes; the next command does it then


def _is_half_made(database: Database) -> bool:
    """Whether MLflow was ended while it made this database: without its last step, and without a row of anybody's.

    A database of an older MLflow has at least the experiment `Default`, and is left to MLflow's own message.
    """
    tables = table_names(database)
    if tables and "experiments" not in tables:  # MLflow's first
        return False
    if remaining_tables(database, _MADE_WITH_ROWS):
        return False
    version = database.execute("SELECT * FROM alembic_version").fetchone() if "alembic_version" in tables else None
    return version != (import_module("mlflow.store.db.utils")._get_latest_schema_revision(),)


def _setting(uri: str) -> str:
    """The environment variable as messages show it."""
    return f"MLFLOW_TRACKING_URI={mask(uri)}"


def local_database(uri: str) -> Path | None:
    """The file of an SQLite store; None for any other."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def _folder_of(uri: str) -> Path | None:
    database = local_database(uri)
    return None if database is None else database.parent


def _experiment_id(client: MlflowClient, name: str, folder: Path | None) -> str:
    """Id of an experiment, which is created if there is none of that name."""
    artifact_location = None if folder is None else (folder / "mlruns" / name).as_uri()
    for _ in range(3):
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return client.create_experiment(name, artifact_location=artifact_location)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                    raise
                time.sleep(0.2)
                continue
        if experiment.lifecycle_stage == "deleted":
            raise UserError(
                f"experiment={name}: must not be a deleted experiment. Restore it (mlflow experiments restore), or "
                "give another name."
            )
        return experiment.experiment_id
    raise UserError(f"experiment={name}: could not be created, because another process created and deleted it. Retry.")


def _check_server(uri: str) -> None:
    """Ask a server whether it is up, so that a wrong address is reported at once and not after MLflow's retries."""
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=10)
    except requests.RequestException as error:
        raise UserError(
            f"{_setting(uri)}: no server answers ({type(error).__name__}). Start the server, or unset the variable."
        ) from None


def all_experiments(client: MlflowClient) -> list[str]:
    """Ids of all experiments of a server; `mlflow run` puts its run into the one that the user names."""
    return [experiment.experiment_id for experiment in client.search_experiments()]


def all_runs(client: MlflowClient, experiments: list[str], filter_string: str = "") -> list[Run]:
    """All active runs of experiments, newest first.

    Args:
        client: client of the server.
        experiments: ids.
        filter_string: in MLflow's search syntax; empty for all.
    """
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            experiments, filter_string, run_view_type=ViewType.ACTIVE_ONLY, max_results=_PAGE, page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs
