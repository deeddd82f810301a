"""The same study against a tracking server that keeps the artifacts itself. Minutes: run with `pytest -m slow`."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlproject.errors import Interrupted
from mlproject.pipeline.step import Step
from mlproject.resume.state import State
from mlproject.tracking.runs import StepRun
from mlproject.tracking.store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "kept")]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    uri = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=1)
            break
        except OSError:
            time.sleep(0.5)
    yield uri
    process.terminate()
    process.wait()


def run(uri, folder, *arguments):
    command = [sys.executable, "-m", "mlproject", "main", "--preset", "smoke", *arguments]
    (folder / "temporary").mkdir(exist_ok=True)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "TMPDIR": str(folder / "temporary")}
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert list((folder / "temporary").iterdir()) == [], "what was downloaded is removed"
    return answer


def test_a_server_without_optuna_storage_is_refused_before_any_work(server, tmp_path):
    answer = run(server, tmp_path)
    assert answer.returncode == 2
    assert len(answer.stderr.strip().splitlines()) == 1
    assert "storage=URL" in answer.stderr


def test_a_study_on_a_server_finishes_and_is_reused(server, tmp_path):
    storage = f"sqlite:///{tmp_path}/optuna.db"
    for reused in (False, True):
        answer = run(server, tmp_path, "--storage", storage)
        assert answer.returncode == 0, answer.stderr
        client = MlflowClient(server)
        studies = client.get_experiment_by_name("overoptimization/studies").experiment_id
        study = client.search_runs([studies], "tags.`mlproject.entry_point` = 'main'")[0]
        rows = json.loads(Path(client.download_artifacts(study.info.run_id, "steps.json", str(tmp_path))).read_text())
        assert all(client.get_run(row["run_id"]).info.status == "FINISHED" for row in rows)
        assert all(row["reused"] for row in rows) is reused
    assert not (tmp_path / "mlflow.db").exists()


def test_a_step_goes_on_on_another_machine_from_the_states_among_its_artifacts(server, tmp_path, monkeypatch):
    """Each machine has a folder of its own for states."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    store, step = open_store("moves"), Step("moves", "law", 1, {"value": 1})
    drawn, run_id = [], None

    def draw(machine, number):
        drawn.append((machine, number))
        return State(values={"number": number})

    for machine, life in (("one", 3), ("two", 5)):
        monkeypatch.setenv("MLPROJECT_STATES", str(tmp_path / machine))
        run = StepRun(store, step, {}, made_by="", resume_run_id=run_id, checkpoint_seconds=60)
        run_id, row = run.run_id, run.resumption.row("numbers")
        numbers = [row.next(partial(draw, machine, number)).values["number"] for number in range(life)]
        if machine == "one":
            run.resumption._ask_to_end()
            with pytest.raises(Interrupted):
                run.resumption.safe_point()
            run.close("KILLED")
    assert numbers == [0, 1, 2, 3, 4]
    assert drawn == [("one", 0), ("one", 1), ("one", 2), ("two", 3), ("two", 4)]
    run.close("FINISHED")
    assert [each.path for each in store.client().list_artifacts(run_id)] == []
    assert not list((tmp_path / "two").glob("*"))
