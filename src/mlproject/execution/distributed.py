"""Several processes at one study, as `torchrun` starts them: the first conducts, the others follow.

The first process does everything that it does alone: it opens runs, logs, prints, decides. It carries out one step
after another, in its own process. A step that gains by it (`Step.max_processes`: training, PPO) is announced to the
others first; each of them reads the same inputs and runs the same function in a run that writes nowhere, and the
accelerator of the step knows of all of them. Every other step is the first process's own, and its accelerator knows of
one process.

All of this goes through one process group, made here and kept to the end: gloo for what processes tell each other, NCCL
for the gradients where there are GPUs.

Where a process fails, it says so and ends; whoever waits for it loses the connection and ends too (`torchrun` ends the
rest), and the run of the step is closed as cut off: the same command goes on.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from mlproject.errors import UserError
from mlproject.names import Tag
from mlproject.optimization.stopping import StopRule
from mlproject.pipeline.step import Run, Step
from mlproject.tracking.inputs import InputArtifacts
from mlproject.tracking.store import Store

_PATIENCE = timedelta(days=2)
"""How long a process waits for another: the others wait while the first does a step by itself."""

_NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True)
class Order:
    """A step that all processes carry out together.

    Attributes:
        store: where its inputs are.
        step: what to do.
        inputs: run ids by role.
    """

    store: Store
    step: Step
    inputs: Mapping[str, str]


class DiscardedRun:
    """The `Run` that a step function fills in a worker: nothing of it is kept, the main process keeps its own."""

    def __init__(self, order: Order) -> None:
        self.params, self.execution_options = order.step.params, order.step.execution_options
        self._inputs = InputArtifacts(order.store.client(), order.inputs)
        self._scratch = tempfile.TemporaryDirectory(prefix="mlproject-worker-")
        self.folder = Path(self._scratch.name)
        self.input, self.checkpoint = self._inputs.folder, self._inputs.checkpoint
        self.stop_rules: Sequence[StopRule] = ()  # the main process decides

    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None: ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_table(self, rows: Any, name: str) -> None: ...

    def log_checkpoint(self, name: str, step: int, metrics: Mapping[str, float], save: Any) -> None: ...

    def progress(self, share: float) -> None: ...

    def close(self) -> None:
        """Throw away what the work left."""
        self._scratch.cleanup()
        self._inputs.cleanup()


def world_size() -> int:
    """Processes that were started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


_in_step = False
"""Whether the others are at a step, or were when it failed: then they cannot hear a further order."""


@contextmanager
def main_process() -> Iterator[None]:
    """The first process of several: inside it conducts, at the end it sends the others home."""
    _join()
    yield_failed = True
    try:
        yield
        yield_failed = False
    except KeyboardInterrupt:
        print("mlproject: ended from outside, or because another process failed (see above)", file=sys.stderr)
        raise
    finally:
        if not _in_step:
            _send(None)
            if not yield_failed:
                dist.destroy_process_group()


def worker() -> int:
    """Every process but the first: carry out its orders until there are no more.

    Returns:
        exit code.
    """
    _join()
    me, at = f"mlproject (process {dist.get_rank()})", "waiting"
    try:
        while (order := _receive()) is not None:
            at = order.step.name
            run = DiscardedRun(order)
            try:
                _work(order.step, run)
            finally:
                run.close()
            at = "waiting"
        dist.destroy_process_group()
    except KeyboardInterrupt:
        return 130
    except UserError as mistake:
        print(f"{me}: {mistake}", file=sys.stderr)
        return 2
    except Exception as error:
        if at != "waiting" and not _is_lost_connection(error):
            traceback.print_exc()
        print(f"{me}: ended at {at!r}: {str(error).splitlines()[0] if str(error) else error!r}", file=sys.stderr)
        return 1
    return 0


def check(step: Step) -> None:
    """Refuse a step that so many processes cannot share.

    Raises:
        UserError: naming the options that say so.
    """
    if step.max_processes is not None and world_size() > step.max_processes.count:
        most = "one process" if step.max_processes.count == 1 else f"at most {step.max_processes.count} processes"
        raise UserError(
            f"{step.max_processes.options}: allows {most}, and {world_size()} were started together; change it, or "
            "start fewer"
        )


def work_of(store: Store, step: Step, inputs: Mapping[str, str]) -> Callable[[Run], None]:
    """How the first process does a step: with the others where they can share it, otherwise alone."""

    def together(run: Run) -> None:
        global _in_step
        run.set_tags({Tag.PROCESSES: str(world_size())})
        _send(Order(store, step, inputs))
        _in_step = True
        _work(step, run)
        _in_step = False

    def alone(run: Run) -> None:
        kept = {name: os.environ.pop(name) for name in _NAMES if name in os.environ}
        try:
            step.execute(run)
        finally:
            os.environ.update(kept)

    return together if step.max_processes is not None else alone


def _work(step: Step, run: Run) -> None:
    """A process's part of a step; processes of one machine share the threads that the step may use."""
    torch.set_num_threads(max(1, step.threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    step.execute(run)


def _join() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
    if torch.cuda.is_available():
        local, cards = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= cards:
            raise UserError(f"LOCAL_RANK={local}: this machine has {cards} GPUs, one for each process; start fewer")
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, timeout=_PATIENCE)
    except ValueError as error:
        raise UserError(f"WORLD_SIZE={world_size()}: {error}; start several processes with torchrun") from None


def _send(order: Order | None) -> None:
    if _in_step:
        raise RuntimeError("a step that all processes were at has failed; start the command again")
    dist.broadcast_object_list([order], src=0)


def _receive() -> Order | None:
    parcel: list[Any] = [None]
    dist.broadcast_object_list(parcel, src=0)
    return parcel[0]


def _is_lost_connection(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("Connection", "gloo", "NCCL"))
