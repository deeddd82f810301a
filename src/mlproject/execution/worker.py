"""Processes that execute steps: started by the study's process, and ended by it or with it."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from mlproject.errors import ENDING_SIGNALS
from mlproject.execution.answer import answer, handle_signals, outcome_in
from mlproject.execution.assignment import Assignment, OnProgress, Outcome
from mlproject.execution.fork_server import Context, held_signals
from mlproject.execution.standstill import Report
from mlproject.models.libraries import transformers
from mlproject.tracking.temporary import use_temporary_folder

_PROGRESS = "progress"
"""Kind of message from a worker, of which any number come before its answer."""

_POLL_SECONDS = 0.25
"""How soon an interruption reaches a busy worker."""

_PATIENCE_SECONDS = 6.0
"""How long an interrupted worker may take to close its run, before it is killed; the study closes the run then."""


class WorkerLostError(RuntimeError):
    """A process ended before its step did, without a word: killed, most likely for the memory that it used.

    Args:
        message: what is known.
        exit_code: of the process; negative where a signal ended it, None where that is not known.
    """

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class WorkerProcess:
    """One worker, as the study's process sees it.

    Args:
        context: how processes are started.
    """

    def __init__(self, context: Context) -> None:
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, tempfile.gettempdir()), name="mlproject-worker")
        with held_signals():
            self._process.start()
        theirs.close()  # so that the end of the process ends the connection

    def execute(self, assignment: Assignment, on_progress: OnProgress, interrupted: threading.Event) -> Outcome | None:
        """Have an assignment executed, and wait for it.

        Args:
            assignment: what to execute.
            on_progress: called with the finished share.
            interrupted: once set, the worker gets SIGINT until it answers (one may come before it listens), and is
                killed where it does not, as in the midst of somebody's function.

        Raises:
            BaseException: what the step raised, with the worker's traceback as a note.
            WorkerLostError: where the process ended before the step did.
        """
        self._send(assignment)
        kill_at = math.inf
        while True:
            if interrupted.is_set():
                kill_at = min(kill_at, time.monotonic() + _PATIENCE_SECONDS)
                self._interrupt(signal.SIGINT if time.monotonic() < kill_at else signal.SIGKILL)
            if not self._connection.poll(_POLL_SECONDS):
                continue
            kind, content = self._receive()
            if kind != _PROGRESS:
                return outcome_in((kind, content))
            on_progress(content)

    def is_alive(self) -> bool:
        """Whether the process can execute a further step."""
        return self._process.is_alive()

    def close(self) -> None:
        """End the process; it must not be busy."""
        self._connection.close()
        self._process.join()

    def _interrupt(self, signal_number: int) -> None:
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, signal_number)

    def _send(self, assignment: Assignment) -> None:
        try:
            self._connection.send(assignment)
        except ConnectionError as error:
            raise self._lost() from error

    def _receive(self) -> tuple[str, Any]:
        try:
            return self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise self._lost() from error

    def _lost(self) -> WorkerLostError:
        self._process.join()
        code = self._process.exitcode
        return WorkerLostError(f"a worker process ended with exit code {code}", code)


def serve(connection: Connection, temporary: str) -> None:
    """Execute the assignments that come over a connection, until it closes: what a worker process does.

    Args:
        connection: to the study's process.
        temporary: folder of that process for what is temporary.
    """
    use_temporary_folder(temporary)
    handle_signals(signal.SIG_IGN)  # an idle worker has nothing to close; it ends with the study
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)  # a worker joins no process group that a launcher has set up
    threading.Thread(target=_die_with_parent, daemon=True).start()
    transformers.logging.disable_progress_bar()  # the study has one progress display
    while True:
        try:
            assignment = connection.recv()
        except EOFError:
            return
        connection.send(answer(assignment, partial(_send_progress, connection, threading.Lock())))


def _send_progress(connection: Connection, lock: threading.Lock, report: Report) -> None:
    """From the thread that executes the step, or the one beside it that says where it stands."""
    with lock:
        connection.send((_PROGRESS, report))


def _die_with_parent() -> None:
    """A study killed outright must not leave a worker behind that goes on filling a run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
