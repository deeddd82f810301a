"""What is temporary lies in one folder of its command, which is gone afterwards, whatever ends the command."""

from __future__ import annotations

import multiprocessing.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mlproject.tracking import temporary
from mlproject.tracking.temporary import temporary_folder

HOLDER = """
import tempfile, time
from mlproject.tracking.temporary import temporary_folder
with temporary_folder():
    open(tempfile.mkdtemp() + "/model", "w").write("large")
    print(tempfile.gettempdir(), flush=True)
    time.sleep(60)
"""

PARENT = """
import multiprocessing.util, os, tempfile
from mlproject.tracking.temporary import sweep, temporary_folder

def command(said):
    with temporary_folder():
        said.send(tempfile.gettempdir())
        os._exit(9)  # as if it was killed

if __name__ == "__main__":
    context, (answer, said) = multiprocessing.get_context("fork"), multiprocessing.Pipe()
    own = multiprocessing.util.get_temp_dir()
    child = context.Process(target=command, args=(said,))
    child.start()
    folder = answer.recv()
    child.join()
    assert os.path.isdir(folder)
    sweep(__import__("pathlib").Path(tempfile.gettempdir()))
    print(os.path.isdir(folder), os.path.isdir(own))
"""
"""A program whose child executes a command and is killed in the midst of it."""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """The machine's folder for what is temporary."""
    multiprocessing.util.get_temp_dir()  # this process's own folder of sockets is made once, and not in here
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def holder(outside):
    """A process that is in the midst of a command."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    process.folder = Path(process.stdout.readline().strip())
    yield process
    process.kill()
    process.wait()


def test_everything_lies_in_one_folder_and_is_gone_at_the_end_of_a_command_that_fails(outside):
    with pytest.raises(ZeroDivisionError), temporary_folder():
        inside = Path(tempfile.gettempdir())
        tempfile.mkdtemp()
        child = subprocess.run(
            [sys.executable, "-c", "import tempfile; print(tempfile.mkdtemp())"], stdout=-1, text=True
        )
        assert Path(child.stdout.strip()).parent == inside
        assert [path.parent for path in inside.iterdir()] == [inside] * 3
        raise ZeroDivisionError
    assert list(outside.iterdir()) == []
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(outside)


def test_folders_inside_each_other_do_not_meet(outside):
    with temporary_folder():
        outer = tempfile.gettempdir()
        with temporary_folder():
            assert Path(tempfile.gettempdir()).parent == Path(outer)
        assert tempfile.gettempdir() == outer
    assert list(outside.iterdir()) == []


def test_the_folder_of_a_killed_command_and_its_sockets_are_removed_by_the_next_one(holder, outside):
    sockets = (holder.folder / "sockets").resolve()
    assert sockets.parent == outside
    holder.kill()
    holder.wait()
    assert holder.folder.exists() and sockets.exists()
    with temporary_folder():
        assert not holder.folder.exists() and not sockets.exists()
    assert list(outside.iterdir()) == []


def test_the_folder_of_a_living_command_is_left_alone(holder, outside):
    temporary.sweep(outside)
    assert holder.folder.exists()


def test_folders_of_other_hosts_of_reused_ids_and_foreign_names_are_told_apart(holder, outside, monkeypatch):
    other_host = outside / holder.folder.name.replace("mlproject-", "mlproject-0", 1)
    pid, started = re.match(r"mlproject-\w+-(\d+)-(\d+)-", holder.folder.name).groups()
    reused = outside / holder.folder.name.replace(started, str(int(started) - 1000))
    far = outside / re.sub(r"^mlproject-\w{8}", "mlproject-00000000", holder.folder.name)
    kept = {outside / "mlproject-notes", outside / "pymp-abc", far, other_host}
    for folder in (*kept, reused):
        folder.mkdir()
    temporary.sweep(outside)
    assert not reused.exists(), "another process has had this id"
    assert all(folder.exists() for folder in kept)
    assert pid == str(holder.pid)


def test_a_link_to_elsewhere_is_not_followed(holder, outside, tmp_path_factory):
    precious = tmp_path_factory.mktemp("pymp-")
    (holder.folder / "sockets").unlink()
    (holder.folder / "sockets").symlink_to(precious)
    holder.kill()
    holder.wait()
    temporary.sweep(outside)
    assert precious.exists() and not holder.folder.exists()


def test_the_sockets_of_a_program_outlive_a_command_that_its_child_executed(outside):
    answer = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "True"]


def test_sockets_of_processes_keep_their_short_paths(outside):
    with temporary_folder():
        assert not multiprocessing.util.get_temp_dir().startswith(tempfile.gettempdir())


def test_a_folder_for_temporary_files_that_is_gone_is_passed_over(tmp_path, monkeypatch):
    gone = tmp_path / "of a command" / "that has ended"
    monkeypatch.setenv("TMPDIR", str(gone))
    monkeypatch.setattr(tempfile, "tempdir", str(gone))
    with temporary_folder():
        assert Path(tempfile.gettempdir()).parent == tmp_path
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("mlproject-")]
