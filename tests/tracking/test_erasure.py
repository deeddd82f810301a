"""What cannot be taken out of a run is said: a tracking server lets nobody overwrite a param."""

from __future__ import annotations

import sqlite3

from mlproject.tracking import erasure
from mlproject.tracking.erasure import erase_secrets

URL = "postgresql://me:s3cr3t-W0rd@db/optuna"


def test_a_secret_that_stays_behind_a_server_is_to_be_changed_or_purged(store, monkeypatch):
    client = store.client()
    run_id = client.create_run(store.studies).info.run_id
    client.log_param(run_id, "storage", URL)
    monkeypatch.setattr(erasure, "_overwritten", lambda *arguments: False)
    said = erase_secrets(run_id)
    assert said.startswith("It is still in the run that MLflow had opened, though that is deleted: change the password")
    assert run_id in said
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"


def test_other_params_and_other_runs_stay_as_they_are(store):
    client = store.client()
    kept, erased = (client.create_run(store.studies).info.run_id for _ in range(2))
    for run_id in (kept, erased):
        client.log_param(run_id, "preset", "smoke")
    client.log_param(kept, "storage", "postgresql://me@db/optuna")
    client.log_param(erased, "storage", URL)
    assert "was taken out" in erase_secrets(erased)
    with sqlite3.connect(store.folder / "mlflow.db") as database:
        rows = set(database.execute("SELECT run_uuid, key, value FROM params"))
    assert {
        (kept, "preset", "smoke"),
        (kept, "storage", "postgresql://me@db/optuna"),
        (erased, "preset", "smoke"),
    } <= rows
    assert (erased, "storage", "postgresql://me:***@db/optuna") in rows


def test_a_run_that_cannot_be_found_may_hold_it_all_the_same(store):
    assert erase_secrets("0" * 32) == f"It may be in run {'0' * 32}: change the password."
