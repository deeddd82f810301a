"""States are removed with their runs, and only then."""

from __future__ import annotations

import os
import time

import pytest
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST, ErrorCode

from mlproject.resume.state import State
from mlproject.resume.state_folder import StateFolder
from mlproject.tracking.states import states_folder, sweep_states

DAY = 24 * 3600


@pytest.fixture
def save(store, tmp_path, monkeypatch):
    """Saves a state of a run, so many days ago."""
    monkeypatch.setenv("MLPROJECT_STATES", str(tmp_path))

    def saved(run_id, days=0):
        folder = StateFolder(states_folder(store) / run_id, "a step")
        folder.write("running", State(values={"step": 1}))
        os.utime(folder.path, (time.time() - days * DAY,) * 2)
        return folder.path

    return saved


def test_states_of_runs_that_are_finished_or_deleted_are_removed_and_those_of_others_kept(store, save):
    client = store.client()
    runs = [client.create_run(store.models).info.run_id for _ in range(4)]
    open_, killed, finished, deleted = [save(run, days=30) for run in runs]
    client.set_terminated(killed.name, "KILLED")
    client.set_terminated(finished.name, "FINISHED")
    client.delete_run(deleted.name)
    sweep_states(client, store)
    assert [folder.exists() for folder in (open_, killed, finished, deleted)] == [True, True, False, False]


def test_states_of_a_run_that_this_store_does_not_know_are_kept_for_a_week(store, save):
    """Another store may have the same folder, and the run be in the middle of its work."""
    recent, old = save("1" * 32, days=6), save("2" * 32, days=8)
    sweep_states(store.client(), store)
    assert recent.exists() and not old.exists()


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("API request to http://tracking:5000 failed with exception ConnectionError"),
        RestException({"error_code": ErrorCode.Name(PERMISSION_DENIED), "message": "not yours"}),
    ],
)
def test_no_state_is_removed_when_the_store_cannot_say_what_became_of_the_run(store, save, error):
    class Away:
        def get_run(self, run_id):
            raise error

    folder = save("3" * 32, days=30)
    sweep_states(Away(), store)
    assert folder.exists()


def test_a_server_says_in_the_same_words_that_it_does_not_know_a_run(store, save):
    class Server:
        def get_run(self, run_id):
            raise RestException({"error_code": ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), "message": "no such run"})

    folder = save("4" * 32, days=8)
    sweep_states(Server(), store)
    assert not folder.exists()


def test_what_else_lies_in_the_folder_that_the_user_names_is_left(store, save, tmp_path):
    thesis, results = tmp_path / "Documents" / "thesis.tex", tmp_path / "scores" / "results.csv"
    scores = tmp_path / "scores" / f"{'ab' * 32}.npy"
    for file in (thesis, results, scores):
        file.parent.mkdir(exist_ok=True)
        file.touch()
        for path in (file, file.parent):
            os.utime(path, (time.time() - 30 * DAY,) * 2)
    sweep_states(store.client(), store)
    assert [thesis.exists(), results.exists(), scores.exists()] == [True, True, False]
