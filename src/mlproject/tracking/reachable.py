"""Whether a database and a store of artifacts can be used, asked before any work is done for them."""

from __future__ import annotations

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.uri import is_local_uri
from sqlalchemy import create_engine, text
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from mlproject.errors import UserError, first_line
from mlproject.options.secrets import mask

LOCKED_SECONDS = 20.0
"""Longest time that another process may keep a SQLite database to itself."""

_PATIENCE = {"sqlite": "timeout", "postgresql": "connect_timeout", "mysql": "connect_timeout"}
"""Names of the option that limits how long a driver waits, by the beginning of a URL."""


def check_database(uri: str, setting: str) -> None:
    """Connect to a database, and see that no other process keeps it to itself: MLflow would try for a minute.

    Args:
        uri: of the database.
        setting: how messages show where it was given, without secrets.

    Raises:
        UserError: if its driver is missing, nothing answers, it is no database, or it stays locked.
    """
    waits = next((name for start, name in _PATIENCE.items() if uri.startswith(start)), "")
    try:
        engine = create_engine(uri, connect_args={waits: LOCKED_SECONDS} if waits == "timeout" else {})
        if waits == "connect_timeout":
            engine = create_engine(uri, connect_args={waits: 10})
        with engine.connect() as database:
            if engine.dialect.name == "sqlite":
                database.execute(text("PRAGMA schema_version"))
                database.exec_driver_sql("BEGIN IMMEDIATE")
                database.rollback()
        engine.dispose()
    except (ImportError, SQLAlchemyError, ValueError) as error:
        reason = mask(first_line(getattr(error, "orig", None) or error))
        if "locked" in reason:
            raise UserError(
                f"{setting}: must not be locked by another process for {LOCKED_SECONDS:g} seconds. "
                "End that process, and run the command again."
            ) from None
        missing = isinstance(error, ImportError | NoSuchModuleError)
        remedy = "Install its driver" if missing else "Start or repair it, correct the address"
        raise UserError(
            f"{setting}: must be a database that can be reached ({reason}). {remedy}, or unset the variable."
        ) from None


def check_artifacts(location: str, uri: str, setting: str) -> None:
    """Ask a store of artifacts that this machine reads and writes itself, such as a bucket, for what is not there.

    Args:
        location: URI of the artifacts.
        uri: of the tracking store.
        setting: how messages show where that was given, without secrets.

    Raises:
        UserError: if its client is not installed, or it does not answer.
    """
    if is_local_uri(location) or location.startswith("mlflow-artifacts:"):  # the tracking server's own
        return
    try:
        get_artifact_repository(location, uri).list_artifacts("mlproject-asks")
    except Exception as error:
        remedy = "Install its client (for s3: pip install boto3)" if isinstance(error, ImportError) else "Start it"
        raise UserError(
            f"{setting}: its artifacts at {mask(location)} must be within reach of this machine "
            f"({mask(first_line(error))}). {remedy}, set its address and credentials, or let the server serve them "
            "(mlflow server --artifacts-destination)."
        ) from None
