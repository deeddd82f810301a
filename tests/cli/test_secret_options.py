"""A password or token that is given in any way is found neither in the store, nor in a file, nor in the output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlproject.__main__ import main
from mlproject.cli import commands
from mlproject.options import secrets

ROOT = Path(__file__).parents[2]
SECRET = "s3cr3t-W0rd"
DATABASE = f"postgresql+nodriver://me:{SECRET}@127.0.0.1:9/optuna"
ODD = f"postgresql+nodriver://me:a@b/{SECRET}:c?d@127.0.0.1:9/optuna"
TOKEN = f"https://{SECRET}@127.0.0.1:9"
QUERY = f"https://127.0.0.1:9/run.csv?token={SECRET}"
FILES = ("--world", "files", "--policy", "./policy", "--gold", "none")

COMMAND_LINES = [
    ("history", "--storage", DATABASE),
    ("history", f"--storage={ODD}"),
    ("history", "--config", "config.yaml"),
    ("history", "--config", "wrong.yaml"),
    ("history", "--study", DATABASE),
    ("history", "--experiment", DATABASE),
    ("history", "--registered_model", TOKEN),
    ("history", "--rm_sizes", f"3k,{TOKEN}"),
    ("history", "--n_trials", QUERY),
    ("history", "--storag", DATABASE),
    ("history", "--preset", DATABASE),
    ("history", "--config", QUERY),
    ("history", DATABASE),
    (DATABASE,),
    ("search", "--n_trials", "4", "--storage", DATABASE),
    ("fit", "--curve", TOKEN),
    ("fit", "--curve", QUERY),
    ("fit", "--curve", f"kl={TOKEN}/a.csv,gold={QUERY}"),
    ("fit", "--curve", "run.csv", "--columns", DATABASE),
    ("ppo", "--proxy", f"https://me:{SECRET}@127.0.0.1/rm"),
    ("promote", "--gates", QUERY),
    ("rollback", "--why", f"see {QUERY}"),
    ("proxy", *FILES, "--prompts", TOKEN),
    ("proxy", *FILES, "--preferences", f"s3://key:{SECRET}@bucket/pairs.jsonl"),
    ("config", "--storage", DATABASE),
]
ENVIRONMENTS = [
    (("search", "--n_trials", "4"), {"OPTUNA_STORAGE": DATABASE}),
    (("search", "--n_trials", "4"), {"OPTUNA_STORAGE": ODD}),
    (("history",), {"OPTUNA_STORAGE": DATABASE}),
    (("history",), {"MLFLOW_TRACKING_URI": DATABASE}),
    (("history",), {"MLFLOW_TRACKING_URI": ODD.replace("nodriver", "psycopg2")}),
    (("history",), {"MLFLOW_TRACKING_URI": TOKEN}),
    (("history",), {"MLFLOW_TRACKING_URI": f"ftp://me:{SECRET}@127.0.0.1/runs"}),
    (("history",), {"MLFLOW_TRACKING_URI": f"databricks+x://{SECRET}@workspace"}),
]


def places(folder: Path) -> Iterator[Path]:
    """Files of a folder that hold the secret, databases and their journals included."""
    return (path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes())


@pytest.fixture
def folder(tmp_path, empty_database, monkeypatch):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(secrets, "_known", set())
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, getattr(sys, stream))  # they are replaced, and come back
    return tmp_path


def test_a_secret_is_in_no_database_file_or_output(folder, monkeypatch, capsys):
    (folder / "config.yaml").write_text(f"storage: {DATABASE}\n")
    (folder / "wrong.yaml").write_text(f"prompts: {QUERY}\n")
    (folder / "run.csv").write_text("kl,gold\n0,0\n1,1\n2,1.2\n3,1\n")
    given = {folder / "config.yaml", folder / "wrong.yaml"}
    codes = []
    for words, variables in [*((words, {}) for words in COMMAND_LINES), *ENVIRONMENTS]:
        with monkeypatch.context() as environment:
            for name, value in variables.items():
                environment.setenv(name, value)
            codes.append(main(words))
        out, err = capsys.readouterr()
        assert SECRET not in out + err, (words, variables)
        assert codes[-1] == 0 or len(err.splitlines()) == 1, (words, variables, err)
        assert codes[-1] in (0, 2), words
        assert set(places(folder)) <= given, (words, variables)
    assert codes.count(0) == 5  # four of history and one of config
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    [studies] = [e for e in client.search_experiments() if e.name.endswith("/studies")]
    shown = {run.data.params["storage"] for run in client.search_runs([studies.experiment_id])}
    assert "postgresql+nodriver://me:***@127.0.0.1:9/optuna" in shown


def test_a_traceback_holds_no_secret(folder, monkeypatch, capsys):
    def history(command):
        raise RuntimeError(f"cannot log in at 127.0.0.1 with {SECRET}")

    monkeypatch.setattr(commands, "history", history)
    with pytest.raises(RuntimeError) as raised:
        main(("history", "--storage", DATABASE))
    traceback.print_exception(raised.value)  # as Python does at the end of the process
    err = capsys.readouterr().err
    assert "cannot log in at 127.0.0.1 with ***" in err
    assert SECRET not in err


@pytest.mark.parametrize("option", ["storage", "curve", "storag"])
def test_under_mlflow_run_a_secret_is_refused_and_taken_out_of_the_run(option, store, monkeypatch, capsys):
    monkeypatch.setattr(secrets, "_known", set())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)
    client = store.client()
    run_id = client.create_run(store.studies).info.run_id
    client.log_param(run_id, option, DATABASE)
    client.log_param(run_id, "preset", "smoke")
    assert list(places(store.folder))
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, getattr(sys, stream))
    assert main(("fit" if option == "curve" else "main", f"--{option}", DATABASE)) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "`mlflow run` prints and logs it" in said
    assert ("OPTUNA_STORAGE" in said) == (option == "storage")
    assert said.endswith("It was taken out of the run that MLflow had opened, which is deleted.\n")
    run = client.get_run(run_id)
    assert (run.info.lifecycle_stage, run.info.status) == ("deleted", "FAILED")
    assert run.data.params == {option: "postgresql+nodriver://me:***@127.0.0.1:9/optuna", "preset": "smoke"}
    assert not list(places(store.folder))


@pytest.mark.slow
def test_mlflow_run_itself_leaves_no_secret(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    command = ["mlflow", "run", str(ROOT), "--env-manager", "local", "-e", "search"]
    answer = subprocess.run(
        [*command, "-P", "preset=smoke", "-P", f"storage={DATABASE}"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 1
    assert "OPTUNA_STORAGE" in answer.stderr
    assert not list(places(tmp_path))
    assert MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["0"]) == []
