"""Where steps are executed: in this process, or in worker processes of this machine.

An executor of another kind (a cluster, a queue) is one class with the members of `Executor`.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Protocol

from mlproject.execution.assignment import Assignment, OnProgress, Outcome
from mlproject.execution.fork_server import end_server, process_context
from mlproject.execution.worker import WorkerProcess
from mlproject.pipeline.step import Step

_START_SECONDS = 1.0
"""How long an interrupted study waits for its first worker to start."""


class Executor(Protocol):
    """Executes assignments, several side by side.

    The scheduler submits at most `slots` at a time, each of them after its inputs exist. A run is the only result that
    counts: whatever becomes of an executor, the scheduler finds finished and interrupted runs in the tracking store.

    Attributes:
        slots: assignments that can be executed side by side.
    """

    @property
    def slots(self) -> int: ...

    def check(self, step: Step) -> None:
        """Raise UserError for a step that this executor cannot execute; asked before anything is submitted."""
        ...

    def submit(self, assignment: Assignment, on_progress: OnProgress) -> Future[Outcome | None]:
        """Start an assignment.

        Args:
            assignment: what to execute, by `assignment.execute(on_progress)`.
            on_progress: called with the finished share, from any thread.

        Returns:
            its future: what that returns or raises, or `WorkerLostError`.
        """
        ...

    def interrupt(self) -> None:
        """Ask the running assignments to end soon, each with a closed run; nothing is submitted after that."""
        ...

    def shutdown(self) -> None:
        """Wait for the running assignments and give back all resources."""
        ...


class InProcessExecutor:
    """Executes one step after another in this process."""

    slots = 1

    def check(self, step: Step) -> None:
        """Every step can be executed."""

    def submit(self, assignment: Assignment, on_progress: OnProgress) -> Future[Outcome | None]:
        """Execute an assignment at once; the future is done."""
        future: Future[Outcome | None] = Future()
        try:
            future.set_result(self._execute(assignment, on_progress))
        except Exception as error:
            future.set_exception(error)
        return future

    def interrupt(self) -> None:
        """Nothing runs while the caller does."""

    def shutdown(self) -> None:
        """Nothing to give back."""

    def _execute(self, assignment: Assignment, on_progress: OnProgress) -> Outcome | None:
        return assignment.execute(on_progress)


class LocalExecutor:
    """Executes steps in processes of this machine, each with the threads that its step asks for.

    Processes start when they are needed and execute one step after another.

    Args:
        workers: processes; 0 for one per core.
    """

    def __init__(self, workers: int = 0) -> None:
        self.slots = workers or available_cores()
        self._context = process_context()
        self._threads = ThreadPoolExecutor(self.slots, "mlproject-worker")  # each waits for one process
        self._workers: list[WorkerProcess] = []
        self._idle: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()
        self._starting: set[object] = set()
        self._interrupted = threading.Event()

    def check(self, step: Step) -> None:
        """Every step can be executed."""

    def submit(self, assignment: Assignment, on_progress: OnProgress) -> Future[Outcome | None]:
        """Start an assignment in an idle process, or in a new one."""
        return self._threads.submit(self._execute, assignment, on_progress)

    def interrupt(self) -> None:
        """Send SIGINT to the busy processes; they close their runs. A first one that is still starting is given up."""
        self._interrupted.set()
        give_up_at = time.monotonic() + _START_SECONDS
        while self._starting and not self._workers:
            if time.monotonic() > give_up_at:
                end_server()
            time.sleep(0.05)

    def shutdown(self) -> None:
        """Wait for the busy processes and end all."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.close()

    def _execute(self, assignment: Assignment, on_progress: OnProgress) -> Outcome | None:
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = self._start()
        try:
            if self._interrupted.is_set():  # perhaps while the process was starting
                raise CancelledError
            return worker.execute(assignment, on_progress, self._interrupted)
        finally:
            if worker.is_alive():
                self._idle.put(worker)

    def _start(self) -> WorkerProcess:
        token = object()
        self._starting.add(token)
        try:
            if self._interrupted.is_set():
                raise CancelledError
            worker = WorkerProcess(self._context)
        finally:
            self._starting.remove(token)
        self._workers.append(worker)
        return worker


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
