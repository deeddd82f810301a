"""The processes that steps are carried out in, one thread of arithmetic each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any

from mlproject.optimization.stopping import StopRule
from mlproject.pipeline.step import Step
from mlproject.tracking.run_index import may_execute
from mlproject.tracking.runs import StepRun, execute
from mlproject.tracking.store import Store


@dataclass(frozen=True)
class Outcome:
    """Where a step's run is, and what it took.

    Attributes:
        run_id: of the run; empty where another process turned out to be making the step.
        reused: True where the run existed already.
        seconds: wall time of the work; 0 for a reused run.
        tracking_seconds: of these, spent on the tracking server.
    """

    run_id: str
    reused: bool
    seconds: float = 0.0
    tracking_seconds: float = 0.0


_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait sleep: on a busy machine, spinning ones hold each other up
    # glibc: keep freed memory instead of handing it back; tensors of some 100 kB are made and dropped all the time
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}


def process_context() -> BaseContext:
    """Workers are forked from a server that has imported the stack once; where there is no fork, they start afresh."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlproject.execution.preload"])
    return context


_tell: Any = None


def start_worker(messages: Any) -> None:
    """Set up a process of the pool; `messages` takes (step name, finished share)."""
    global _tell
    _tell = messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an idle worker has nothing to close
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)  # a worker is a whole: it joins no process group that a launcher has set up
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from transformers.utils import logging

    logging.disable_progress_bar()  # the study has one progress display


def _die_with_parent() -> None:
    """A study killed outright must not leave a worker behind that goes on filling a run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _interrupt_once(*signal_and_frame: object) -> None:
    """A second Ctrl-C must not keep an interrupted run from being closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def carry_out_step(
    store: Store,
    step: Step,
    inputs: Mapping[str, str],
    made_by: str,
    resume_run_id: str | None,
    stop_rule: StopRule | None,
    ignored_run_ids: Collection[str],
) -> Outcome:
    """Carry a step out in this worker.

    Args:
        store, step: where and what.
        inputs: run ids by role.
        made_by: run id of the study or search on whose behalf.
        resume_run_id: a cut-off run to be filled; None opens one.
        stop_rule: may end the run before its budget; asked after every curve point.
        ignored_run_ids: finished runs that do not count.
    """
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        return carry_out_here(
            store,
            step,
            inputs,
            made_by,
            resume_run_id,
            stop_rule,
            ignored_run_ids,
            on_progress=lambda share: _tell.put((step.name, share)),
            work=step.execute,
        )
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def carry_out_here(
    store: Store,
    step: Step,
    inputs: Mapping[str, str],
    made_by: str,
    resume_run_id: str | None,
    stop_rule: StopRule | None,
    ignored_run_ids: Collection[str],
    *,
    on_progress: Callable[[float], None],
    work: Callable[[StepRun], None],
) -> Outcome:
    """Carry a step out as `carry_out_step` does, with signals left as they are.

    Args:
        on_progress: told the finished share.
        work: fills the run.
    """
    import torch

    torch.set_num_threads(step.threads)
    since = time.perf_counter()
    run = StepRun(
        store, step, inputs, made_by=made_by, resume_run_id=resume_run_id, on_progress=on_progress, stop_rule=stop_rule
    )
    if not may_execute(run.client, store, step.fingerprint, run.run_id, ignored_run_ids):
        run.discard(delete=resume_run_id is None)
        return Outcome("", False)
    execute(run, work)
    return Outcome(run.run_id, False, time.perf_counter() - since, run.tracking_seconds)
