"""Several processes that share one study, as `torchrun` starts them: the main process schedules, the workers assist.

The main process (rank 0) does everything that it would do alone: it opens runs, logs, prints, decides. It executes one
step after another, in its own process. A step that gains by it (`Step.max_processes`: training, PPO) is broadcast to
the workers first; each of them reads the same inputs and runs the same function beside it, in a run that writes
nowhere, and the accelerator of the step uses all processes. Every other step is executed by the main process alone, and
its accelerator uses one process.

All of this goes through one process group, made here and kept to the end: gloo for objects and CPU tensors, NCCL for
the gradients where there are GPUs.

Where a process fails, it says so and ends; whoever waits for it loses the connection and ends too (`torchrun` ends the
rest), and the run of the step is closed as FAILED or KILLED: the same command continues.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from mlproject.errors import UserError, first_line
from mlproject.execution.assignment import Assignment, OnProgress, Outcome
from mlproject.execution.executors import InProcessExecutor
from mlproject.models.libraries import transformers
from mlproject.names import Tag
from mlproject.optimization.stopping import StopRule
from mlproject.pipeline.step import Run, Step
from mlproject.resume.resumption import Resumption
from mlproject.tracking.inputs import InputArtifacts

_TIMEOUT = timedelta(days=2)
"""How long a process waits for another: the workers wait while the main process executes a step by itself."""

_LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")

_workers_are_busy = False
"""Whether the workers execute a step, or did when it failed: then they cannot receive another."""


class NullRun:
    """The `Run` that a step's function fills in a worker: nothing of it is kept, the main process keeps its own."""

    def __init__(self, assignment: Assignment) -> None:
        step = assignment.step
        self.params, self.tags, self.execution_options = step.params, step.tags, step.execution_options
        self._inputs = InputArtifacts(assignment.store.client(), assignment.inputs)
        self._scratch = tempfile.TemporaryDirectory(prefix="mlproject-worker-")
        self.folder = Path(self._scratch.name)
        self.input, self.checkpoint = self._inputs.folder, self._inputs.checkpoint
        self.stop_rules: Sequence[StopRule] = ()  # the main process decides
        # the main process writes, and hands out what it restores
        self.resumption = Resumption(seconds=assignment.checkpoint_seconds)
        self.cache: Path | None = None

    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None: ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def describe(self, result: str, figure: str) -> None: ...

    def log_table(self, rows: Any, name: str) -> None: ...

    def log_checkpoint(self, name: str, step: int, metrics: Mapping[str, float], save: Any) -> None: ...

    def progress(self, share: float) -> None: ...

    def close(self) -> None:
        """Delete what the function wrote and what was downloaded."""
        self._scratch.cleanup()
        self._inputs.cleanup()


class TorchrunExecutor(InProcessExecutor):
    """Executes one step after another in the main process, with the workers beside it where a step can be shared."""

    def check(self, step: Step) -> None:
        """Refuse a step that cannot be shared by as many processes as were started."""
        limit = step.max_processes
        if limit is not None and world_size() > limit.count:
            processes = "1 process" if limit.count == 1 else f"{limit.count} processes"
            raise UserError(
                f"{limit.options}: allows at most {processes}, and {world_size()} were started. Change an option or "
                "start fewer processes."
            )

    def _execute(self, assignment: Assignment, on_progress: OnProgress) -> Outcome | None:
        step = assignment.step

        def shared(run: Run) -> None:
            global _workers_are_busy
            run.set_tags({Tag.PROCESSES: str(world_size())})
            _broadcast(assignment)
            _workers_are_busy = True
            _run_shared(step, run)
            _workers_are_busy = False

        def alone(run: Run) -> None:
            variables = {name: os.environ.pop(name) for name in _LAUNCHER_VARIABLES if name in os.environ}
            try:
                step.execute(run)
            finally:
                os.environ.update(variables)

        return assignment.execute(on_progress, shared if step.max_processes else alone)


def world_size() -> int:
    """Number of processes that were started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def main_process() -> Iterator[None]:
    """Join the process group as rank 0; at the end, dismiss the workers."""
    _join()
    has_failed = True
    try:
        yield
        has_failed = False
    except KeyboardInterrupt:
        print("mlproject: interrupted, or another process failed (see above)", file=sys.stderr)
        raise
    finally:
        if not _workers_are_busy:
            _broadcast(None)
            if not has_failed:
                dist.destroy_process_group()


def worker() -> int:
    """Join the process group as any other rank: execute what the main process broadcasts, until it dismisses.

    Returns:
        exit code.
    """
    _join()
    name, place = f"mlproject (process {dist.get_rank()})", ""
    try:
        while (assignment := _receive()) is not None:
            place = f" in {assignment.step.name!r}"
            run = NullRun(assignment)
            try:
                _run_shared(assignment.step, run)
            finally:
                run.close()
            place = ""
        dist.destroy_process_group()
    except KeyboardInterrupt:
        return 130
    except UserError as mistake:
        print(f"{name}: {mistake}", file=sys.stderr)
        return 2
    except Exception as error:
        if place and not _is_lost_connection(error):
            traceback.print_exc()
        print(f"{name}: failed{place}: {first_line(error)}", file=sys.stderr)
        return 1
    return 0


def _run_shared(step: Step, run: Run) -> None:
    """Run a step's function in one of the processes."""
    torch.set_num_threads(1)
    step.execute(run)


def _join() -> None:
    transformers.logging.disable_progress_bar()
    if torch.cuda.is_available():
        local_rank, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local_rank >= gpus:
            raise UserError(
                f"LOCAL_RANK={local_rank}: must be below {gpus}, the number of GPUs of this machine. Start one process "
                "per GPU."
            )
        torch.cuda.set_device(local_rank)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, timeout=_TIMEOUT)
    except ValueError as error:
        raise UserError(
            f"WORLD_SIZE={world_size()}: the process group cannot be joined ({first_line(error)}). Start several "
            "processes with torchrun."
        ) from None


def _broadcast(assignment: Assignment | None) -> None:
    if _workers_are_busy:
        raise RuntimeError("A step that several processes shared has failed. Run the same command again to continue.")
    dist.broadcast_object_list([assignment], src=0)


def _receive() -> Assignment | None:
    received: list[Any] = [None]
    dist.broadcast_object_list(received, src=0)
    return received[0]


def _is_lost_connection(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("Connection", "gloo", "NCCL"))
