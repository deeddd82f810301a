"""Takes passwords out of a run that `mlflow run` opened: MLflow logs the parameters before the project begins."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from mlproject.options.secrets import mask
from mlproject.tracking.store import tracking_uri


def erase_secrets(run_id: str) -> str:
    """Overwrite the secrets among a run's params, and delete the run.

    A tracking server lets nobody overwrite a param; there the run is deleted alone.

    Args:
        run_id: of the run that MLflow opened.

    Returns:
        what was done, as a sentence.
    """
    uri = tracking_uri()
    client = MlflowClient(uri)
    try:
        params = client.get_run(run_id).data.params
    except MlflowException:
        return f"It may be in run {run_id}: change the password."
    secrets = {name: mask(value) for name, value in params.items() if mask(value) != value}
    erased = not secrets or (not uri.startswith(("http", "databricks")) and _overwritten(uri, run_id, secrets))
    try:
        client.set_terminated(run_id, "FAILED")
        client.delete_run(run_id)
    except MlflowException:
        erased = False
    if erased:
        return "It was taken out of the run that MLflow had opened, which is deleted."
    return (
        f"It is still in the run that MLflow had opened, though that is deleted: change the password, or remove the "
        f"run by `mlflow gc --run-ids {run_id}`."
    )


def _overwritten(uri: str, run_id: str, values: dict[str, str]) -> bool:
    """Overwrite params in MLflow's database; False if that fails."""
    engine = create_engine(uri)
    is_sqlite = engine.dialect.name == "sqlite"
    if is_sqlite:

        @event.listens_for(engine, "connect")
        def _(connection: object, record: object) -> None:
            connection.execute("PRAGMA secure_delete=ON")  # type: ignore[attr-defined]  # zeros instead of old bytes

    try:
        with engine.begin() as database:
            for name, value in values.items():
                database.execute(
                    text("UPDATE params SET value = :value WHERE run_uuid = :run AND key = :name"),
                    {"value": value, "run": run_id, "name": name},
                )
        if is_sqlite:
            with engine.connect() as database:
                database.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    except SQLAlchemyError:
        return False
    finally:
        engine.dispose()
    return True
