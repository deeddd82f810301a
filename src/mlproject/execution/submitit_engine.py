"""Steps as jobs of Slurm, or of this machine, by submitit. A module of its own, since submitit is an optional extra."""

from __future__ import annotations

import json
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import submitit

from mlproject.errors import UserError, first_line, interrupt
from mlproject.execution.answer import Answer
from mlproject.execution.assignment import Assignment
from mlproject.execution.engine import execute_job
from mlproject.execution.executors import available_cores
from mlproject.execution.resources import ResourceTable
from mlproject.execution.standstill import Report
from mlproject.pipeline.step import Step
from mlproject.strict_json import strict_json

_MOST_JOBS = 64
"""Jobs in the queue of a cluster at a time."""

_HOUR = 60
_POLL_SECONDS = 0.25
_KEPT_SECONDS = 7 * 86400.0


class SubmititEngine:
    """A batch system.

    Args:
        cluster: `slurm`, `local`, or empty: Slurm where this machine has it.
        resources: what steps need.
        folder: for submitit's files; all machines must see it.
        workers: jobs at a time on this machine; 0: one per core.

    Raises:
        UserError: where there is no such batch system.
    """

    def __init__(self, cluster: str, resources: ResourceTable, folder: Path, workers: int = 0) -> None:
        try:
            self._executor = submitit.AutoExecutor(folder, cluster=cluster or None)
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"engine_address={cluster}: must be slurm, where this machine has it, or local ({first_line(error)})."
            ) from None
        self._resources, self._folder, self._jobs = resources, folder, 0
        _sweep(folder)
        self.slots = (workers or available_cores()) if self._executor.cluster == "local" else workers or _MOST_JOBS

    def check(self, step: Step) -> None:
        """The batch system itself refuses what it has no room for."""

    def start(self, assignment: Assignment) -> SubmititJob:
        """Submit a job."""
        needs = self._resources.of(assignment.step)
        memory = {"mem_gb": needs.memory_gb} if needs.memory_gb else {}
        self._executor.update_parameters(
            name="mlproject",
            cpus_per_task=max(1, round(needs.num_cpus)),
            gpus_per_node=round(needs.num_gpus),
            timeout_min=round(needs.timeout_min) or 24 * _HOUR,
            **memory,
            **needs.further,
        )
        self._jobs += 1
        said = self._folder / f"{time.time_ns()}-{self._jobs}.json"
        return SubmititJob(self._executor.submit(_execute, assignment, said), said)

    def close(self) -> None:
        """Remove the folder, unless it still has files of jobs that were lost, or are another command's."""
        with suppress(OSError):
            self._folder.rmdir()


class SubmititJob:
    """A job.

    Args:
        job: as submitit sees it.
        said: file in which it says how far it is, or where it stands.
    """

    def __init__(self, job: Any, said: Path) -> None:
        self._job, self._said = job, said

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; says whether the job is over."""
        end = time.monotonic() + seconds
        while not self._job.done():
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def answer(self) -> Answer | None:
        """What it answered; None where it was lost."""
        self._said.unlink(missing_ok=True)
        try:
            result: Answer = self._job.result()
        except submitit.core.utils.UncompletedJobError:
            return None
        self._remove_files()
        return result

    def _remove_files(self) -> None:
        """What submitit keeps of a job; of one that was lost it stays for a week, since its log may say why."""
        paths = self._job.paths
        for path in (paths.submission_file, paths.submitted_pickle, paths.result_pickle, paths.stdout, paths.stderr):
            path.unlink(missing_ok=True)
        for link in paths.folder.glob(".submission_file_*"):
            if not link.exists():  # it was to the submission file
                link.unlink(missing_ok=True)

    def report(self) -> tuple[float, Report] | None:
        """What it said last."""
        with suppress(OSError, ValueError, TypeError):
            number, report = json.loads(self._said.read_text())
            return number, report
        return None

    def interrupt(self) -> None:
        """Cancel the job; its process gets a signal and closes its run."""
        self._job.cancel(check=False)


def _execute(assignment: Assignment, said: Path) -> Answer:
    signal.signal(signal.SIGUSR2, interrupt)  # how submitit announces a time limit, or that others need the machine
    return execute_job(assignment, lambda report: _write(said, report))


def _sweep(folder: Path) -> None:
    """Remove what lost jobs, and those of commands that were killed, have left long ago."""
    for path in folder.glob("*"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _KEPT_SECONDS:
                path.unlink()


def _write(path: Path, report: Report) -> None:
    with suppress(OSError):
        path.write_text(strict_json([time.time(), report]))
