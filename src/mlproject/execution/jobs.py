"""Jobs: whatever needs steps, sees how they came out, and then knows which steps it needs next.

A job is a generator. It yields a `Request`, is sent the outcomes once all steps of the request are finished, and
returns its result. The scheduler runs jobs side by side, so that a search waits for its trials while a study goes on.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from mlproject.execution.assignment import Outcome
from mlproject.optimization.stopping import StopRule
from mlproject.pipeline.step import Step, upstream

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Request:
    """Steps that a job needs now.

    Attributes:
        steps: executed or reused, with all that they read. None: the job looks at something again soon.
        made_by: run id of the study or search that asks, where it is not the scheduler's own.
        stop_rules: for some of the steps; each may end its step's run before its budget, unless another job needs the
            whole run.
        further: requests as long as this one that the job will make afterwards.
    """

    steps: Sequence[Step] = ()
    made_by: str | None = None
    stop_rules: Mapping[Step, StopRule] = field(default_factory=dict)
    further: int = 0


Job = Generator[Request, dict[Step, Outcome], ResultT]


class OpenJob(Generic[ResultT]):
    """A job that runs.

    Args:
        job: has not been started.

    Attributes:
        request: what it waits for.
        plan: the steps of that and all that they read, inputs first.
        is_finished, result: of the job.
    """

    def __init__(self, job: Job[ResultT]) -> None:
        self._job = job
        self.request = Request()
        self.plan: list[Step] = []
        self.is_finished = False
        self.result: Any = None
        self._is_started = False

    def advance(self, outcomes: Mapping[Step, Outcome]) -> None:
        """Send the outcomes of the request, and receive the next one or the result."""
        try:
            answer = {step: outcomes[step] for step in self.plan}
            self.request = self._job.send(answer) if self._is_started else next(self._job)
            self.plan = upstream(self.request.steps)
        except StopIteration as end:
            self.is_finished, self.result, self.plan = True, end.value, []
        self._is_started = True

    def fail(self, step: Step, error: BaseException) -> None:
        """Tell the job that a step of its request failed; it raises the error, or another."""
        if step in self.plan:
            self._job.throw(error)

    def close(self) -> None:
        """End the job, wherever it waits; runs that it fills are closed as interrupted."""
        self._job.close()


def one_request(request: Request) -> Job[dict[Step, Outcome]]:
    """The job that needs some steps and nothing after them."""
    return (yield request)
