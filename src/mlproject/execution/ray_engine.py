"""Steps as tasks of a Ray cluster. A module of its own, since Ray is an optional extra."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import ray

from mlproject.errors import ENDING_SIGNALS, UserError
from mlproject.execution.answer import Answer
from mlproject.execution.assignment import Assignment
from mlproject.execution.engine import execute_job
from mlproject.execution.executors import available_cores
from mlproject.execution.resources import ResourceTable
from mlproject.execution.standstill import Report
from mlproject.pipeline.step import Step

_GIB = 2**30
_ANSWERS_WITHIN = 10.0
"""Seconds in which a cluster must accept a connection."""

_CONNECTION = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}


class _Board:
    """What each job said last; an actor without a core of its own. It starts anew where its machine is lost."""

    def __init__(self) -> None:
        self._said: dict[int, tuple[float, Report]] = {}

    def put(self, job: int, report: Report) -> None:
        self._said[job] = time.monotonic(), report

    def said(self) -> dict[int, tuple[float, Report]]:
        return self._said


def _execute(assignment: Assignment, board: Any, job: int) -> Answer:
    return execute_job(assignment, partial(board.put.remote, job))


def _knock(address: str) -> None:
    """Fail at once where nothing listens: Ray itself waits for minutes, deaf to signals, and then ends the process.

    Raises:
        OSError: where nobody listens at a host and port; a name such as `auto` is left to Ray.
    """
    server = urlsplit(address if "//" in address else f"//{address}")
    if server.hostname and server.port:
        socket.create_connection((server.hostname, server.port), timeout=_ANSWERS_WITHIN).close()


class RayEngine:
    """A Ray cluster.

    Args:
        address: of an existing one; empty: one of this machine, which ends with the command.
        resources: what steps need.
        workers: cores of a cluster of this machine; 0: all.

    Raises:
        UserError: where there is no cluster at the address.
    """

    def __init__(self, address: str, resources: ResourceTable, workers: int = 0) -> None:
        before = {each: signal.getsignal(each) for each in ENDING_SIGNALS}
        try:
            if address:
                _knock(address)
                ray.init(address=address, **_CONNECTION)
            else:
                ray.init(address="local", num_cpus=workers or available_cores(), **_CONNECTION)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise UserError(
                f"engine_address={address}: must be a Ray cluster that answers ({type(error).__name__}). Start it with "
                "`ray start --head`, or leave the option out; one with a token needs RAY_AUTH_MODE=token here too."
            ) from None
        finally:
            for each, handler in before.items():  # Ray has set its own
                signal.signal(each, handler)
        self._resources, self._jobs = resources, 0
        self._board = ray.remote(num_cpus=0, max_restarts=-1)(_Board).remote()
        self.slots = max(1, round(ray.cluster_resources().get("CPU", 1)))

    def check(self, step: Step) -> None:
        """Refuse a step that asks for more than any machine of the cluster has."""
        needs = self._resources.of(step)
        for name, asked, unit in (("CPU", needs.num_cpus, "num_cpus"), ("GPU", needs.num_gpus, "num_gpus")):
            most = max((node["Resources"].get(name, 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
            if asked > most:
                raise UserError(
                    f"engine_resources: {unit}={asked:g} of {step.kind} must be at most {most:g}, what the largest "
                    "machine of the cluster has. Lower it, or add a machine."
                )

    def start(self, assignment: Assignment) -> RayJob:
        """Submit a task."""
        needs = self._resources.of(assignment.step)
        memory = {"memory": needs.memory_gb * _GIB} if needs.memory_gb else {}
        options = {"num_cpus": needs.num_cpus, "num_gpus": needs.num_gpus, "max_retries": 0, **memory, **needs.further}
        self._jobs += 1
        task = ray.remote(**options)(_execute)
        return RayJob(task.remote(assignment, self._board, self._jobs), self._board, self._jobs)

    def close(self) -> None:
        """Leave the cluster."""
        ray.shutdown()


class RayJob:
    """A task.

    Args:
        reference: to its answer.
        board: where it says how far it is, or where it stands.
        number: its own on the board.
    """

    def __init__(self, reference: Any, board: Any, number: int) -> None:
        self._reference, self._board, self._number = reference, board, number

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; says whether the task is over."""
        return bool(ray.wait([self._reference], timeout=seconds)[0])

    def answer(self) -> Answer | None:
        """What it answered; None where it was lost."""
        try:
            result: Answer = ray.get(self._reference)
        except (ray.exceptions.RayTaskError, ray.exceptions.RuntimeEnvSetupError):
            raise  # a mistake in what surrounds the step
        except ray.exceptions.RayError:
            return None
        return result

    def report(self) -> tuple[float, Report] | None:
        """What it said last."""
        with suppress(ray.exceptions.RayError):
            said: tuple[float, Report] | None = ray.get(self._board.said.remote(), timeout=5).get(self._number)
            return said
        return None

    def interrupt(self) -> None:
        """Interrupt the task as Ctrl-C does."""
        ray.cancel(self._reference, force=False)
