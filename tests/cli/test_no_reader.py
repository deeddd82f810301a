"""Whoever reads the output may go before its end, as `head` does: no traceback, and the status that shells know."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import mlproject.__main__ as entry
from mlproject.__main__ import EXIT_NO_READER


@pytest.mark.parametrize("words", [["--help"], ["ppo", "--help"], ["config"]])
def test_a_reader_that_goes_early_ends_the_command_quietly(words) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as if `head` had gone already
    command = [sys.executable, "-m", "mlproject", *words]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    os.close(writing)
    assert (done.returncode, done.stderr) == (EXIT_NO_READER, "")


def test_a_broken_pipe_between_processes_is_still_an_error(monkeypatch) -> None:
    def broken(arguments):
        raise BrokenPipeError("to a worker")

    monkeypatch.setattr(entry, "_main", broken)
    with pytest.raises(BrokenPipeError, match="to a worker"):
        entry.main(["history"])
