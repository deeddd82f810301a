"""Steps that compute with whole numbers instead of training: each writes the sum of its value and its inputs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from mlproject.errors import NotFiniteError
from mlproject.execution.assignment import Assignment
from mlproject.execution.executors import Executor
from mlproject.execution.progress import Progress
from mlproject.execution.scheduler import Scheduler
from mlproject.pipeline.step import Run, RunRef, Step
from mlproject.tracking.run_data import artifact
from mlproject.tracking.store import Store

NUMBER = "number.txt"


def add(run: Run) -> None:
    """Write the sum of the value and the inputs."""
    run.progress(0.5)
    total = run.params["value"] + sum(read(run.input(role)) for role in run.params["roles"])
    (run.folder / NUMBER).write_text(str(total))
    run.log_metrics({"total": total})


def add_slowly(run: Run) -> None:
    for tenth in range(300):
        run.progress(tenth / 300)
        time.sleep(0.1)


def divide_by_zero(run: Run) -> None:
    raise ZeroDivisionError("planted")


def give_nan(run: Run) -> None:
    raise NotFiniteError("proxy my-rm", "gives nan to 1 of 8 responses", "Check it.")


def lose_the_connection(run: Run) -> None:
    raise ConnectionError("planted: a server of the step's own")


class UnpicklableError(Exception):
    """An exception that cannot be rebuilt from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raise_unpicklable(run: Run) -> None:
    raise UnpicklableError(1, 2)


def interrupt(run: Run) -> None:
    raise KeyboardInterrupt


def die(run: Run) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(run: Run) -> None:
    os._exit(7)


def cling(run: Run) -> None:
    """Swallow every interruption, as somebody's function may."""
    run.progress(0.5)
    while True:
        with suppress(BaseException):
            time.sleep(60)


def toy(
    name: str,
    value: int = 1,
    inputs: Mapping[str, Step | RunRef] | None = None,
    fn: Callable[[Run], None] = add,
    version: int = 1,
) -> Step:
    """A step of kind `law`, identified by value and inputs."""
    params = {"value": value, "roles": tuple(inputs or {})}
    return Step(name, "law", version, params, fn=fn, inputs=inputs or {})


def diamond(value: int = 1, version: int = 1, fn: Callable[[Run], None] = add) -> Step:
    """One source, two steps that read it, and one that reads both and comes to 130 + 2 * value."""
    source = toy("source", value, fn=fn, version=version)
    left = toy("left", 10, {"source": source}, fn, version)
    right = toy("right", 20, {"source": source}, fn, version)
    return toy("sum", 100, {"left": left, "right": right}, fn, version)


def read(folder: Path) -> int:
    return int((folder / NUMBER).read_text())


def total(store: Store, run_id: str) -> int:
    """What a step's run says."""
    return int(artifact(store.client(), run_id, NUMBER).read_text())


def scheduler(store: Store, executor: Executor, made_by: str = "a study") -> Scheduler:
    return Scheduler(store, made_by, executor, Progress())


def assignment(store: Store, step: Step) -> Assignment:
    return Assignment(store, step, {}, "a study")
