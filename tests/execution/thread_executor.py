"""An executor that the package does not know: steps in threads of this process. One file is all that it takes."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from mlproject.execution.assignment import Assignment, OnProgress, Outcome
from mlproject.pipeline.step import Step


class ThreadExecutor:
    """Executes up to `slots` steps side by side in threads."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        self._pool = ThreadPoolExecutor(slots)

    def check(self, step: Step) -> None:
        """Every step can be executed."""

    def submit(self, assignment: Assignment, on_progress: OnProgress) -> Future[Outcome | None]:
        return self._pool.submit(assignment.execute, on_progress)

    def interrupt(self) -> None:
        """A thread cannot be interrupted: running steps end by themselves."""

    def shutdown(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
