"""Schedules steps: reuses finished runs, resumes interrupted ones, and keeps an executor busy with the rest."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from functools import cached_property, partial
from typing import Any

from mlproject.execution.assignment import Assignment, Outcome
from mlproject.execution.executors import Executor
from mlproject.execution.failures import outcome_of
from mlproject.execution.jobs import Job, OpenJob, Request, one_request
from mlproject.execution.priorities import Durations, longest_ways
from mlproject.execution.progress import Progress
from mlproject.execution.usage import Usage
from mlproject.execution.worker import WorkerLostError
from mlproject.optimization.stopping import StopRule
from mlproject.pipeline.step import RunRef, Step
from mlproject.tracking.kept_artifacts import lost, missing_artifact
from mlproject.tracking.lease import TERM_SECONDS
from mlproject.tracking.liveness import reap
from mlproject.tracking.patience import without_waiting
from mlproject.tracking.run_index import RunIndex
from mlproject.tracking.runs import StepRun
from mlproject.tracking.states import sweep_states
from mlproject.tracking.store import Store

_POLL_SECONDS = 0.25
_RECHECK_SECONDS = 1.0
"""How often a step that another process is executing is looked up again."""


class Scheduler:
    """Submits steps to an executor, inputs before the steps that read them.

    Args:
        store: where runs are kept.
        made_by: run id of the study or search that asks for the steps.
        executor: executes them.
        progress: display.
        checkpoint_seconds: time between two saved states of a running step; 0: none is saved.
        lease_seconds: term of the leases of runs.
        stall_seconds: without progress, after which a step is named; 0: never.

    Attributes:
        outcomes: of all steps that were executed or reused so far.
        requested_at: when each of them was asked for, seconds since the epoch.
        failed: the step that raised, if any did.
    """

    def __init__(
        self,
        store: Store,
        made_by: str,
        executor: Executor,
        progress: Progress,
        checkpoint_seconds: float = 0.0,
        lease_seconds: float = TERM_SECONDS,
        stall_seconds: float = 0.0,
    ) -> None:
        self._store, self._made_by, self._executor, self._progress = store, made_by, executor, progress
        self._seconds = (checkpoint_seconds, lease_seconds, stall_seconds)
        progress.silent_seconds = 1.25 * stall_seconds  # where its process could have said so itself
        client = store.client()
        reap(client, store)
        sweep_states(client, store)
        self._longest_ways: Mapping[Step, float] | None = None
        self.outcomes: dict[Step, Outcome] = {}
        self.requested_at: dict[Step, float] = {}
        self.failed: Step | None = None
        self._recheck_at: dict[Step, float] = {}

    @cached_property
    def _index(self) -> RunIndex:
        """Read when the first step is asked for: a command that only reads has none, and the store may be large."""
        return RunIndex(self._store.client(), self._store)

    @cached_property
    def _durations(self) -> Durations:
        """Needed where several steps could start."""
        return Durations(self._index.runs)

    def close(self, interrupt: bool = False) -> None:
        """Shut the executor down; where interrupted, the running steps end first and close their runs as KILLED."""
        if interrupt:
            self._executor.interrupt()
        self._executor.shutdown()
        if interrupt:  # a process that was killed could not close its run
            reap(self._store.client(), self._store)

    def run(
        self, steps: Sequence[Step], made_by: str | None = None, stop_rules: Mapping[Step, StopRule] | None = None
    ) -> dict[Step, Outcome]:
        """Execute or reuse every step and what it reads.

        Args:
            steps: what is needed.
            made_by: run id of the study or search that asks, where it is not the scheduler's own.
            stop_rules: for some of the steps; each may end its step's run before its budget.

        Returns:
            the outcome of every step, inputs included.

        Raises:
            Exception: the first one that a step raised. Running steps go on until `close`.
        """
        [outcomes] = self.run_jobs(one_request(Request(steps, made_by, stop_rules or {})))
        return outcomes

    def run_jobs(self, *jobs: Job[Any]) -> list[Any]:
        """Run jobs side by side, each until it has its result. Of the steps that could start, the one with the longest
        way to the end does.

        Returns:
            their results.

        Raises:
            Exception: the first one that a step or a job raised. Running steps go on until `close`.
        """
        open_jobs = [OpenJob(job) for job in jobs]
        running: dict[Future[Outcome | None], Step] = {}
        try:
            for job in open_jobs:
                self._advance(job)
            while not all(job.is_finished for job in open_jobs):
                self._submit(open_jobs, running)
                self._progress.name_silent()
                for future in _next_done(running):
                    step = running.pop(future)
                    outcome = self._result(future, step, running, open_jobs)
                    if outcome is not None:
                        self._record(step, outcome)
                        self._progress.finish(step.name, outcome.seconds)
                self._submit(open_jobs, running)  # before jobs take their time over what they got
                for job in open_jobs:
                    if not job.is_finished and all(step in self.outcomes for step in job.plan):
                        self._advance(job)
        except BaseException as error:
            with without_waiting(error):
                for job in open_jobs:
                    job.close()
            raise
        return [job.result for job in open_jobs]

    def _advance(self, job: OpenJob[Any]) -> None:
        """Let a job go on until it waits for steps that have no outcome yet, or for the next look."""
        while True:
            job.advance(self.outcomes)
            missing = [step for step in job.plan if not self._is_done(step)]
            for step in missing:
                self._executor.check(step)
                self.requested_at.setdefault(step, time.time())
            self._progress.expect(len(missing))
            if job.is_finished or missing or not job.plan:
                break
        self._longest_ways = None

    def _submit(self, jobs: Sequence[OpenJob[Any]], running: dict[Future[Outcome | None], Step]) -> None:
        """Fill the executor's slots with steps whose inputs are there."""
        started = set(running.values())
        waiting = dict.fromkeys(step for job in jobs for step in job.plan)
        ready = [step for step in waiting if step not in started and step not in self.outcomes and self._is_ready(step)]
        if len(ready) > 1:
            if self._longest_ways is None:
                plans = [
                    ([step for step in job.plan if step not in self.outcomes], job.request.further) for job in jobs
                ]
                self._longest_ways = longest_ways(plans, self._durations)
            ready.sort(key=self._longest_ways.__getitem__, reverse=True)
        for step in ready:
            if len(running) == self._executor.slots:
                break
            if self._is_executed_elsewhere(step):
                continue
            if self._is_done(step):
                self._progress.finish(step.name, 0.0)
                continue
            self._progress.start(step.name)
            requests = [job.request for job in jobs if step in job.plan]
            rules = [request.stop_rules.get(step) for request in requests]
            assignment = self._assign(step, requests[0].made_by or self._made_by, None if None in rules else rules[0])
            running[self._executor.submit(assignment, partial(self._progress.update, step.name))] = step

    def find(self, step: Step) -> str | None:
        """Run id of a step that has a finished run; None where it has none."""
        return self._index.finished.get(step.fingerprint)

    def forget(self, step: Step) -> None:
        """Ignore the finished runs of a step, so that it is executed anew."""
        self._index.ignore(step.fingerprint)
        self.outcomes.pop(step, None)

    def start(self, step: Step) -> StepRun | None:
        """Open the run of a step that the caller fills in this process; its inputs are executed first.

        Returns:
            the run, to be passed to `finish` once filled; None where the step has a run already (see `outcomes`).
        """
        [run] = self.run_jobs(self.opened(step))
        return run

    def opened(self, step: Step) -> Job[StepRun | None]:
        """The job that does what `start` does."""
        if sources := [source for source in step.inputs.values() if isinstance(source, Step)]:
            yield Request(sources)
        while True:
            while self._is_executed_elsewhere(step):
                yield Request()
            if self._is_done(step):
                return None
            if (run := self._assign(step, self._made_by).open_run()) is not None:
                return run

    def finish(self, step: Step, run: StepRun) -> None:
        """Record the finished run of a step that the caller filled."""
        usage = Usage(os.getpid(), run.opened_at, time.time())
        self._record(step, Outcome(run.run_id, False, 0.0, run.tracking_seconds, usage))

    def reuse(self, step: Step, run_id: str) -> None:
        """Record a run that answers a step, although its fingerprint may be another."""
        self.outcomes[step] = Outcome(run_id, reused=True)

    def _record(self, step: Step, outcome: Outcome) -> None:
        self.outcomes[step] = outcome
        self._index.finished[step.fingerprint] = outcome.run_id

    def _is_done(self, step: Step) -> bool:
        """Whether a step has an outcome; a finished run of the store becomes one if it still has its artifacts."""
        if step not in self.outcomes and (run_id := self.find(step)) is not None:
            lost = missing_artifact(self._store.client(), run_id)
            if lost:
                self._index.reopen(step.fingerprint)
                self._progress.say(f"{step.name}: run {run_id} has lost {lost}, and is made anew")
                return False
            self.outcomes[step] = Outcome(run_id, reused=True)
        return step in self.outcomes

    def _is_ready(self, step: Step) -> bool:
        return all(isinstance(source, RunRef) or source in self.outcomes for source in step.inputs.values())

    def _is_executed_elsewhere(self, step: Step) -> bool:
        """Whether another process is executing the step now, asked of the store once in `_RECHECK_SECONDS`."""
        if time.monotonic() < self._recheck_at.get(step, 0.0):
            return True
        is_running = self._index.is_running(step.fingerprint)
        if is_running:
            self._recheck_at[step] = time.monotonic() + _RECHECK_SECONDS
        return is_running

    def _assign(self, step: Step, made_by: str, stop_rule: StopRule | None = None) -> Assignment:
        for source in step.inputs.values():
            if isinstance(source, RunRef) and (name := missing_artifact(self._store.client(), source.run_id)):
                raise lost(source.run_id, name)
        inputs = {
            role: source.run_id if isinstance(source, RunRef) else self.outcomes[source].run_id
            for role, source in step.inputs.items()
        }
        resume_run_id = self._index.interrupted.pop(step.fingerprint, None)
        return Assignment(
            self._store,
            step,
            inputs,
            made_by,
            resume_run_id,
            stop_rule,
            frozenset(self._index.ignored_run_ids),
            *self._seconds,
        )

    def _result(
        self,
        future: Future[Outcome | None],
        step: Step,
        running: Mapping[Future[Outcome | None], Step],
        jobs: Sequence[OpenJob[Any]],
    ) -> Outcome | None:
        try:
            return outcome_of(future, step, list(running.values()))
        except Exception as error:
            if not isinstance(error.__cause__, WorkerLostError):
                self.failed = step
            for job in jobs:
                with suppress(type(error)):  # most jobs raise it again
                    job.fail(step, error)
            raise


def _next_done(running: Mapping[Future[Outcome | None], Step]) -> set[Future[Outcome | None]]:
    """Futures that are done, waited for a moment; where none runs, all that is left is executed elsewhere."""
    if not running:
        time.sleep(_POLL_SECONDS)
        return set()
    return wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED).done
