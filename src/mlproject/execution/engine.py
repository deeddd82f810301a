"""Executes steps as the jobs of an engine that somebody runs anyway: Ray, Slurm over submitit.

The engine holds no state that matters. A job that is lost with its machine, or ended by the engine before its time, is
left to the scheduler, which finds its run in the tracking store and submits the step again: it goes on from its state.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Protocol

from mlproject.errors import Interrupted
from mlproject.execution.answer import ERROR, Answer, answer
from mlproject.execution.assignment import Assignment, OnProgress, Outcome
from mlproject.execution.standstill import Report
from mlproject.execution.worker import WorkerLostError
from mlproject.models.libraries import transformers
from mlproject.pipeline.step import Step
from mlproject.tracking.temporary import temporary_folder

_MOST_LOSSES = 5
"""Times that one step is submitted again."""

_PATIENCE_SECONDS = 20.0
"""How long an interrupted job may take to close its run, before its engine is left alone with it."""

_PROGRESS_SECONDS = 1.0
"""Time between two reports of progress."""


class Job(Protocol):
    """An assignment that an engine has."""

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; says whether the job is over."""
        ...

    def answer(self) -> Answer | None:
        """What it answered; None where it was lost."""
        ...

    def report(self) -> tuple[float, Report] | None:
        """What it said last, with a number that no earlier report had; None where it has said nothing yet."""
        ...

    def interrupt(self) -> None:
        """Send it what Ctrl-C sends."""
        ...


class Engine(Protocol):
    """Where jobs are executed.

    Attributes:
        slots: jobs that can be there side by side, waiting ones included.
    """

    slots: int

    def check(self, step: Step) -> None:
        """Raise UserError for a step for which there will never be room."""
        ...

    def start(self, assignment: Assignment) -> Job: ...

    def close(self) -> None: ...


class EngineExecutor:
    """An executor that hands assignments to an engine.

    Args:
        engine: has room for jobs.
        say: prints a line.
    """

    def __init__(self, engine: Engine, say: Callable[[str], None] = lambda line: None) -> None:
        self._engine, self._say = engine, say
        self.slots = engine.slots
        self._threads = ThreadPoolExecutor(self.slots, "mlproject-job")  # each waits for one job
        self._losses: Counter[str] = Counter()
        self._interrupted = threading.Event()

    def check(self, step: Step) -> None:
        """Refuse a step for which the engine will never have room."""
        self._engine.check(step)

    def submit(self, assignment: Assignment, on_progress: OnProgress) -> Future[Outcome | None]:
        """Hand an assignment to the engine."""
        return self._threads.submit(self._execute, assignment, on_progress)

    def interrupt(self) -> None:
        """Ask all jobs to end."""
        self._interrupted.set()

    def shutdown(self) -> None:
        """Wait for the jobs, and leave the engine."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._engine.close()

    def _execute(self, assignment: Assignment, on_progress: OnProgress) -> Outcome | None:
        if self._interrupted.is_set():
            raise CancelledError
        job = self._engine.start(assignment)
        give_up_at = float("inf")
        shown = None
        while not job.wait(0.5):
            if self._interrupted.is_set() and give_up_at == float("inf"):
                give_up_at = time.monotonic() + _PATIENCE_SECONDS
                job.interrupt()
            if time.monotonic() > give_up_at:
                raise CancelledError
            if (said := job.report()) is not None and said[0] != shown:
                shown = said[0]
                on_progress(said[1])
        answered = job.answer()
        if self._interrupted.is_set():
            raise CancelledError
        if answered is None or isinstance(answered[1], Interrupted):
            self._lose(assignment.step)
            return None
        kind, content = answered
        if kind == ERROR:
            raise content
        return content

    def _lose(self, step: Step) -> None:
        """Leave the step to the scheduler, which submits it again."""
        self._losses[step.fingerprint] += 1
        if self._losses[step.fingerprint] > _MOST_LOSSES:
            raise WorkerLostError(f"the job of {step.name!r} was lost {_MOST_LOSSES + 1} times")
        self._say(f"{step.name}: its job was lost or ended by the engine, and is submitted again")


def execute_job(assignment: Assignment, report: OnProgress) -> Answer:
    """What a job does, in a process of the engine.

    Args:
        assignment: what to execute.
        report: called with the finished share, once in a second at most, and with where the step stands.
    """
    reported_at = 0.0

    def on_progress(said: Report) -> None:
        nonlocal reported_at
        if isinstance(said, str) or time.monotonic() - reported_at > _PROGRESS_SECONDS:
            reported_at = time.monotonic()
            report(said)

    os.environ["MLFLOW_TRACKING_URI"] = assignment.store.tracking_uri
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    transformers.logging.disable_progress_bar()  # the study has one progress display
    with temporary_folder():
        return answer(assignment, on_progress)
