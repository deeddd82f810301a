"""What the machine fails to give is said in one line, from whatever library and process the error comes."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from mlproject.__main__ import main
from mlproject.options.machine import machine_error
from mlproject.tracking import store as stores


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "model.safetensors")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (os_error(errno.ENOSPC), "the disk is full ([Errno 28]"),
        (os_error(errno.EDQUOT), "the disk is full"),
        (os_error(errno.EFBIG), "the disk is full"),
        (os_error(errno.EROFS), "cannot be written"),
        (os_error(errno.EACCES), "cannot be written"),
        (os_error(errno.ENOMEM), "memory ran out"),
        (os_error(errno.EMFILE), "too many files are open"),
        (MemoryError(), "memory ran out (MemoryError)"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "memory ran out"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (sqlite3.OperationalError("database is locked"), "kept the database locked"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "cannot be written"),
        (sqlite3.OperationalError("database or disk is full"), "the disk is full"),
        (
            RuntimeError("API request to http://host:5000/api/x failed with exception HTTPConnectionPool: Max retries"),
            "the tracking server does not answer (API request to http://host:5000",
        ),
    ],
)
def test_an_error_of_the_machine_is_known(error, said):
    failure = machine_error(error)
    assert said in str(failure) and str(failure).endswith("run the same command again: it continues.")


def test_it_is_known_behind_other_errors_and_in_what_another_process_reports():
    try:
        try:
            raise os_error(errno.ENOSPC)
        except OSError:
            raise ValueError("could not save")  # noqa: B904
    except ValueError as error:
        assert "the disk is full" in str(machine_error(error))
    remote = RuntimeError("MlflowException: ...")
    remote.add_note("In a worker process:\n  ...\nOSError: [Errno 28] No space left on device: 'x'\n")
    assert "OSError: [Errno 28] No space left on device" in str(machine_error(remote))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("disk"),
        ConnectionError("a service of the user's"),
        ZeroDivisionError(),
        OSError(errno.ENOENT, "no such file"),
    ],
)
def test_other_errors_stay_what_they_are(error):
    assert machine_error(error) is None


def test_a_database_that_another_process_locks_for_a_moment_is_waited_for(tmp_path, empty_database, monkeypatch):
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = stores.open_store("trial")
    other = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(6.0, other.rollback).start()
    run = store.client().create_run(store.studies)
    assert store.client().get_run(run.info.run_id).info.status == "RUNNING"


def test_a_command_whose_disk_is_full_ends_in_one_line(tmp_path, empty_database, monkeypatch, capsys):
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    (tmp_path / "c.csv").write_text("kl,gold\n0,0\n0.5,0.5\n1,0.8\n2,1\n4,0.9\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write = Path.write_text

    def full(path: Path, *arguments, **options):
        if path.name == "fit.json":
            raise os_error(errno.ENOSPC)
        return write(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    assert main(["fit", "--preset", "smoke", "--curve", "c.csv"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("mlproject: the disk is full (")
    statuses = "SELECT status FROM runs WHERE lifecycle_stage = 'active'"
    assert {row for (row,) in sqlite3.connect("mlflow.db").execute(statuses)} == {"FAILED"}
    monkeypatch.setattr(Path, "write_text", write)
    assert main(["fit", "--preset", "smoke", "--curve", "c.csv"]) == 0
