"""Databases: whole or not there, whatever is killed and however many make one at once; no data is ever replaced."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.store.db.utils import InitialBase
from sqlalchemy import create_engine

from mlproject.errors import UserError
from mlproject.tracking import database as module
from mlproject.tracking import store as store_module
from mlproject.tracking.database import ensure_database
from mlproject.tracking.store import open_store

MAKER = """
import sqlite3, sys, time
from pathlib import Path
from mlproject.tracking.database import ensure_database, table_names

def make(url):
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        for name in ("first", "second", "last"):
            database.execute(f"CREATE TABLE {name} (x)")
            database.commit()
            print(name, flush=True)
            time.sleep(float(sys.argv[2]))

ensure_database(Path(sys.argv[1]), make, lambda database: "last" not in table_names(database))
"""
"""Makes a database of three tables, each committed apart, with a pause after each of them."""


def start(path: Path, pause: float) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", MAKER, str(path), str(pause)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_a_maker_that_is_ended_leaves_no_database_and_the_next_one_makes_it(ending, tmp_path):
    path = tmp_path / "some.db"
    killed = start(path, pause=30)
    assert killed.stdout.readline() == "first\n"
    killed.send_signal(ending)
    killed.communicate()
    assert not path.exists()
    assert start(path, pause=0).wait() == 0
    assert tables(path) == {"first", "second", "last"}
    assert list(tmp_path.iterdir()) == [path]


def test_of_several_makers_at_once_one_makes_it_and_the_others_wait(tmp_path):
    path = tmp_path / "some.db"
    makers = [start(path, pause=0.3) for _ in range(4)]
    printed = [maker.communicate()[0] for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * 4
    assert sorted(printed) == ["", "", "", "first\nsecond\nlast\n"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_database_that_another_program_is_making_right_now_is_waited_for(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(module, "_SETTLED_SECONDS", 2.0)
    path, made = tmp_path / "some.db", []
    code = MAKER.replace("ensure_database(Path(sys.argv[1])", "make(sys.argv[1]); sys.exit()\nensure_database(Path()")
    other = subprocess.Popen([sys.executable, "-c", code, str(path), "1"], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "first\n"
    ensure_database(path, made.append, lambda database: "last" not in module.table_names(database))
    other.communicate()
    assert made == []
    assert capfd.readouterr().err == ""


@pytest.fixture
def fast_maker(empty_database, monkeypatch):
    """MLflow's tables are copied, which is faster than to create them; nothing is waited for."""
    monkeypatch.setattr(module, "_SETTLED_SECONDS", -1.0)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(
        store_module, "_make_database", lambda uri: shutil.copy(empty_database, uri.removeprefix("sqlite:///"))
    )


def initial_tables(path: Path) -> None:
    """What MLflow's first step leaves."""
    engine = create_engine(f"sqlite:///{path}")
    InitialBase.metadata.create_all(engine)
    engine.dispose()


@pytest.mark.parametrize("left", ["empty file", "first table", "first tables", "in the middle"])
def test_what_a_killed_mlflow_leaves_is_replaced_with_one_line(
    left, fast_maker, empty_database, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mlflow.db"
    if left == "empty file":
        path.touch()
    elif left == "in the middle":  # a later table is there already, as where a step was not written down
        shutil.copy(empty_database, path)
        execute(path, "DELETE FROM experiments", "UPDATE alembic_version SET version_num = '90e64c465722'")
    else:
        initial_tables(path)
        if left == "first table":
            execute(path, *(f"DROP TABLE {name}" for name in ("tags", "params", "metrics", "runs")))
    opened = open_store("trial")
    assert opened.client().get_experiment(opened.models).name == "trial/models"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{path} was left half made" in said
    assert open_store("trial") == opened
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("holds", ["an experiment", "a run", "a foreign table"])
def test_a_database_that_holds_anything_is_never_replaced(holds, fast_maker, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mlflow.db"
    if holds == "a foreign table":
        execute(path, "CREATE TABLE customers (name)")
    else:
        initial_tables(path)
        execute(path, "CREATE TABLE alembic_version (version_num)", "INSERT INTO alembic_version VALUES ('old')")
        table, columns, values = {
            "an experiment": ("experiments", "experiment_id, name", "0, 'Default'"),
            "a run": ("runs", "run_uuid, name", "'abc', 'mine'"),
        }[holds]
        execute(path, f"INSERT INTO {table} ({columns}) VALUES ({values})")
    made = []
    ensure_database(path, made.append, store_module._is_half_made)
    assert made == []
    if holds == "an experiment":  # as an older MLflow leaves it: for MLflow to say
        with pytest.raises(UserError, match="must be a store that MLflow can open"):
            open_store("trial")
    assert capsys.readouterr().err == ""


def test_a_database_of_todays_mlflow_without_experiments_is_left_to_mlflow(empty_database, tmp_path):
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_database, path)
    execute(path, "DELETE FROM experiments")
    made = []
    ensure_database(path, made.append, store_module._is_half_made)
    assert made == []


def test_a_file_that_is_no_database_is_left_to_mlflow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("my notes\n" * 500)
    made = []
    ensure_database(tmp_path / "mlflow.db", made.append, store_module._is_half_made)
    assert made == []


def opened_in_a_fork(folder: Path) -> int:
    """Process that opens the store of a folder, without the seconds that imports take."""
    pid = os.fork()
    if pid == 0:
        try:
            os.chdir(folder)
            open_store("trial").client().search_experiments()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.slow
def test_fifty_kills_in_the_first_seconds_leave_stores_that_the_next_command_uses(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    delays, killed, started = random.Random(15), 0, time.monotonic()
    assert ended(opened_in_a_fork(tmp_path)) == 0
    longest = 1.2 * (time.monotonic() - started)  # on a fast machine most of them would come too late
    for i in range(50):
        folder = tmp_path / str(i)
        folder.mkdir()
        pid = opened_in_a_fork(folder)
        while not list(folder.iterdir()):
            time.sleep(0.002)
        time.sleep(delays.uniform(0.0, min(5.0, longest)))
        os.kill(pid, signal.SIGKILL if i % 2 else signal.SIGINT)
        killed += ended(pid) != 0
        assert ended(opened_in_a_fork(folder)) == 0
        assert {path.name for path in folder.iterdir()} <= {"mlflow.db", "mlflow.db-wal", "mlflow.db-shm", "mlruns"}
    print(f"{killed} of 50 ended before the store was there")
    assert killed >= 20


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_first_commands_at_once_all_start(count, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for i in range(7):
        folder = tmp_path / str(i)
        folder.mkdir()
        pids = [opened_in_a_fork(folder) for _ in range(count)]
        assert [ended(pid) for pid in pids] == [0] * count
        assert ended(opened_in_a_fork(folder)) == 0
