"""Carries out steps: reuses runs that exist, takes up those that were cut off, keeps all cores busy with the rest."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from mlproject.execution import distributed
from mlproject.execution.progress import Progress
from mlproject.execution.worker import Outcome, carry_out_here, carry_out_step, process_context, start_worker
from mlproject.optimization.stopping import StopRule
from mlproject.pipeline.step import RunRef, Step, upstream
from mlproject.tracking.liveness import reap
from mlproject.tracking.run_index import RunIndex, may_execute
from mlproject.tracking.runs import StepRun
from mlproject.tracking.store import Store

_POLL_SECONDS = 0.25
_LOOK_AGAIN_SECONDS = 1.0
"""How often a step that another process is making is looked at."""


class Scheduler:
    """Runs steps side by side in processes of one thread each, inputs before those who read them.

    The first of several processes that were started together runs them one after another instead, in this process,
    with the others at its side (see `mlproject.execution.distributed`).

    Args:
        store: where runs are kept.
        made_by: run id of the study or search on whose behalf.
        workers: processes; 0 for one per core.
        progress: display.

    Attributes:
        outcomes: of all steps that were made or found so far.
        failed: the step whose work raised, if any did.
    """

    def __init__(self, store: Store, made_by: str, workers: int, progress: Progress) -> None:
        self._store, self._made_by, self._progress = store, made_by, progress
        self._workers = 1 if distributed.world_size() > 1 else workers or _cores()
        client = store.client()
        reap(client, store)
        self._run_index = RunIndex(client, store)
        self._pool: ProcessPoolExecutor | None = None
        self._messages: Any = None
        self.outcomes: dict[Step, Outcome] = {}
        self.failed: Step | None = None
        self._look_again: dict[Step, float] = {}

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._pool is None:
            return
        if kind is not None:  # workers close their runs with a truthful status on SIGINT
            for process in list((self._pool._processes or {}).values()):
                if process.pid and process.is_alive():
                    os.kill(process.pid, signal.SIGINT)
        self._pool.shutdown(wait=True, cancel_futures=True)
        if kind is not None:  # and those that were killed could not
            reap(self._store.client(), self._store)

    def run(
        self, steps: Sequence[Step], made_by: str | None = None, stop_rules: Mapping[Step, StopRule] | None = None
    ) -> dict[Step, Outcome]:
        """Make every step and what it reads, or find it made.

        Args:
            steps: wanted; those listed first are preferred where several could start.
            made_by: on whose behalf, where not the scheduler's own.
            stop_rules: for some of the steps; each may end its step's run before its budget.

        Returns:
            the outcome of every step, inputs included.

        Raises:
            Exception: the first one that a step's work raised; the other running steps are stopped.
        """
        plan = upstream(steps)
        waiting = [step for step in plan if not self._recall(step)]
        for step in waiting:
            distributed.check(step)
        self._progress.expect(len(waiting))
        running: dict[Future, Step] = {}
        while waiting or running:
            for step in [s for s in waiting if self._is_ready(s)]:
                if len(running) == self._workers:
                    break
                if self._is_made_elsewhere(step):
                    continue
                waiting.remove(step)
                if step in self.outcomes:
                    self._progress.finished(step.name, 0.0)
                    continue
                self._progress.started(step.name)
                running[self._submit(step, made_by or self._made_by, (stop_rules or {}).get(step))] = step
            if running:
                done, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            else:  # all that is left is being made elsewhere
                time.sleep(_POLL_SECONDS)
                done = set()
            self._show_progress()
            for future in done:
                step = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool as error:
                    names = ", ".join([step.name, *(other.name for other in running.values())])
                    raise RuntimeError(
                        f"a worker was killed (out of memory?) while these ran: {names}; the same command goes on"
                    ) from error
                except Exception:
                    self.failed = step
                    raise
                if not outcome.run_id:  # another process was faster
                    waiting.append(step)
                    continue
                self.outcomes[step] = outcome
                self._run_index.finished[step.fingerprint] = outcome.run_id
                self._progress.finished(step.name, outcome.seconds)
        return {step: self.outcomes[step] for step in plan}

    def find(self, step: Step) -> str | None:
        """Run id of a step that is made already; None where it is not."""
        return self._run_index.finished.get(step.fingerprint)

    def forget(self, step: Step) -> None:
        """Make a step anew, although it is made already."""
        self._run_index.ignore(step.fingerprint)
        self.outcomes.pop(step, None)

    def start(self, step: Step) -> StepRun | None:
        """Open the run of a step that this process carries out itself, its inputs made first.

        Returns:
            the run to fill and to report with `finish`; None where it exists already (see `outcomes`).
        """
        self.run([source for source in step.inputs.values() if isinstance(source, Step)])
        while True:
            while self._run_index.is_running(step.fingerprint):
                time.sleep(_LOOK_AGAIN_SECONDS)
            if self._recall(step):
                return None
            resume_run_id = self._run_index.interrupted.pop(step.fingerprint, None)
            run = StepRun(self._store, step, self._input_ids(step), made_by=self._made_by, resume_run_id=resume_run_id)
            if may_execute(run.client, self._store, step.fingerprint, run.run_id, self._run_index.ignored_run_ids):
                return run
            run.discard(delete=resume_run_id is None)

    def finish(self, step: Step, run: StepRun) -> None:
        """Remember the finished run of a step that this process carried out itself."""
        self.outcomes[step] = Outcome(run.run_id, False, 0.0, run.tracking_seconds)
        self._run_index.finished[step.fingerprint] = run.run_id

    def reuse(self, step: Step, run_id: str) -> None:
        """Remember a run that answers a step, though it need not be one of just this step."""
        self.outcomes[step] = Outcome(run_id, reused=True)

    def _recall(self, step: Step) -> bool:
        """Whether a step is made by now; one that somebody else made goes into the outcomes."""
        if step not in self.outcomes and step.fingerprint in self._run_index.finished:
            self.outcomes[step] = Outcome(self._run_index.finished[step.fingerprint], reused=True)
        return step in self.outcomes

    def _input_ids(self, step: Step) -> dict[str, str]:
        return {
            role: source.run_id if isinstance(source, RunRef) else self.outcomes[source].run_id
            for role, source in step.inputs.items()
        }

    def _is_ready(self, step: Step) -> bool:
        return all(isinstance(source, RunRef) or source in self.outcomes for source in step.inputs.values())

    def _is_made_elsewhere(self, step: Step) -> bool:
        """Whether another process is making the step now; one that was made meanwhile goes into the outcomes."""
        if time.monotonic() < self._look_again.get(step, 0.0):
            return True
        taken = self._run_index.is_running(step.fingerprint)
        if taken:
            self._look_again[step] = time.monotonic() + _LOOK_AGAIN_SECONDS
        self._recall(step)
        return taken

    def _submit(self, step: Step, made_by: str, stop_rule: StopRule | None) -> Future:
        resume_run_id, ignored_run_ids = (
            self._run_index.interrupted.pop(step.fingerprint, None),
            frozenset(self._run_index.ignored_run_ids),
        )
        order = (self._store, step, self._input_ids(step), made_by, resume_run_id, stop_rule, ignored_run_ids)
        if distributed.world_size() > 1:
            return self._done_here(order)
        if self._pool is None:
            context = process_context()
            self._messages = context.Queue()
            self._pool = ProcessPoolExecutor(self._workers, context, start_worker, (self._messages,))
        return self._pool.submit(carry_out_step, *order)

    def _done_here(self, order: tuple[Any, ...]) -> Future:
        """The outcome of a step that this process carries out at once."""
        store, step, inputs, *_ = order
        done: Future = Future()
        try:
            on_progress = partial(self._progress.moved, step.name)
            done.set_result(
                carry_out_here(*order, on_progress=on_progress, work=distributed.work_of(store, step, inputs))
            )
        except Exception as error:
            done.set_exception(error)
        return done

    def _show_progress(self) -> None:
        while self._messages is not None:
            try:
                self._progress.moved(*self._messages.get_nowait())
            except queue.Empty:
                return


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
