"""What the scheduler hands to an executor: one step with everything that another process or machine needs for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from mlproject.execution.standstill import Report, standstill_is_named
from mlproject.execution.usage import Meter, Usage
from mlproject.optimization.stopping import StopRule
from mlproject.pipeline.step import Step
from mlproject.tracking.closing import execute
from mlproject.tracking.lease import TERM_SECONDS
from mlproject.tracking.run_index import is_executed, may_execute
from mlproject.tracking.runs import StepRun
from mlproject.tracking.store import Store

OnProgress = Callable[[Report], None]
"""Called with the finished share of a step, or where it stands; from any thread."""


@dataclass(frozen=True)
class Outcome:
    """Where the run of a step is, and what it took.

    Attributes:
        run_id: of the run.
        reused: whether the run existed already.
        seconds: wall time of the step; 0 for a reused run.
        tracking_seconds: part of `seconds` that was spent on the tracking server.
        usage: what the process that executed it used; None for a reused run.
    """

    run_id: str
    reused: bool
    seconds: float = 0.0
    tracking_seconds: float = 0.0
    usage: Usage | None = None


@dataclass(frozen=True)
class Assignment:
    """A step to execute; picklable.

    Attributes:
        store: where its inputs are and its run will be.
        step: what to execute. Its `kind` tells an executor what resources it needs.
        inputs: run ids by role.
        made_by: run id of the study or search that asked for the step.
        resume_run_id: interrupted run of the step, to be filled anew; None opens a new run.
        stop_rule: asked after every curve point; may end the run before its budget.
        ignored_run_ids: finished runs of the step that do not count.
        checkpoint_seconds: time between two saved states of the step; 0: none is saved.
        lease_seconds: term of the lease of the run.
        stall_seconds: without progress, after which the step is named; 0: never.
    """

    store: Store
    step: Step
    inputs: Mapping[str, str]
    made_by: str
    resume_run_id: str | None = None
    stop_rule: StopRule | None = None
    ignored_run_ids: frozenset[str] = frozenset()
    checkpoint_seconds: float = 0.0
    lease_seconds: float = TERM_SECONDS
    stall_seconds: float = 0.0

    def open_run(self, on_progress: OnProgress = lambda share: None) -> StepRun | None:
        """Open the run of the step, or the interrupted one again.

        Returns:
            the run to fill; None where another process turned out to be executing the step, or has finished it.
        """
        if self.resume_run_id is not None and is_executed(self.store.client().get_run(self.resume_run_id)):
            return None
        run = StepRun(
            self.store,
            self.step,
            self.inputs,
            made_by=self.made_by,
            resume_run_id=self.resume_run_id,
            on_progress=on_progress,
            stop_rule=self.stop_rule,
            checkpoint_seconds=self.checkpoint_seconds,
            lease_seconds=self.lease_seconds,
        )
        if may_execute(run.client, self.store, self.step.fingerprint, run.run_id, self.ignored_run_ids):
            return run
        run.discard(delete=self.resume_run_id is None)
        return None

    def execute(self, on_progress: OnProgress, fn: Callable[[StepRun], None] | None = None) -> Outcome | None:
        """Execute the step in this process and close its run with a truthful status.

        Args:
            on_progress: called with the finished share, or where the step stands.
            fn: fills the run; the step's own function by default.

        Returns:
            the outcome; None where another process executes the step, or has finished it, perhaps because it took the
            run up while this one was paused.
        """
        meter, since = Meter(), time.perf_counter()
        torch.set_num_threads(1)  # on every machine, since the order of sums, and so last digits, depend on it
        run = self.open_run(on_progress)
        if run is None:
            return None
        try:
            with standstill_is_named(run, on_progress, self.stall_seconds):
                execute(run, fn or self.step.execute)
        except Exception:
            if run.is_lost():
                return None
            raise
        return Outcome(run.run_id, False, time.perf_counter() - since, run.tracking_seconds, meter.usage())
