"""Commands of the project, run in this process: one of their own takes seconds to import the libraries.

Workers are processes all the same. What a test says of processes, of signals, or of what workers print needs a command
in a process of its own.
"""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlproject.__main__ import main
from mlproject.errors import ENDING_SIGNALS


@dataclass(frozen=True)
class Answer:
    """What a command came to, as `subprocess.CompletedProcess` says it."""

    returncode: int
    stdout: str
    stderr: str


def run_here(folder: Path, *arguments: str) -> Answer:
    """Run `python -m mlproject ARGUMENTS` in this process, in a folder and on the store `mlflow.db` in it."""
    with pytest.MonkeyPatch.context() as patch, _handlers(), redirect_stdout(io.StringIO()) as out:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        with redirect_stderr(io.StringIO()) as err:
            code = main(arguments)
    return Answer(code, out.getvalue(), err.getvalue())


@contextmanager
def _handlers() -> Iterator[None]:
    """Afterwards, signals end this process as they did before."""
    before = {ending: signal.getsignal(ending) for ending in ENDING_SIGNALS}
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)
