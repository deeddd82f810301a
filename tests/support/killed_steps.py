"""Executes one step of a study in processes that are killed at random moments, and says what it left behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from safetensors.numpy import load_file

from mlproject.errors import ENDING_SIGNALS, interrupt
from mlproject.execution.executors import InProcessExecutor
from mlproject.execution.fork_server import process_context
from mlproject.execution.progress import Progress
from mlproject.execution.scheduler import Scheduler
from mlproject.pipeline.step import Step
from mlproject.resume import state_folder
from mlproject.resume.state_folder import StateFolder
from mlproject.tracking import states, uploaded_states
from mlproject.tracking.artifact_files import fetch, fetch_uri
from mlproject.tracking.states import states_folder
from mlproject.tracking.store import Store, open_store

_INTERRUPTED, _DIED = 130, 9
_WRITTEN_BEFORE = 2
"""States that a process writes undisturbed before one in which it dies."""


@dataclass(frozen=True)
class Remains:
    """What a step left in its store.

    Attributes:
        run_ids: of all runs of the step.
        status: of the last one.
        metrics: every value of every metric, as (name, step, value).
        artifacts: content of the files by path: arrays, or bytes.
    """

    run_ids: frozenset[str]
    status: str
    metrics: frozenset[tuple[str, int, float]]
    artifacts: Mapping[str, Any]

    def differences(self, other: Remains) -> list[str]:
        """What differs from what another execution of the same step left, apart from run ids."""
        said = [f"status {self.status}, not {other.status}"] if self.status != other.status else []
        said += [f"metric {each}" for each in self.metrics ^ other.metrics]
        said += [f"file {path}" for path in self.artifacts.keys() ^ other.artifacts.keys()]
        for path in self.artifacts.keys() & other.artifacts.keys():
            one, two = self.artifacts[path], other.artifacts[path]
            if isinstance(one, bytes):
                said += [f"content of {path}"] if one != two else []
            else:
                said += [
                    f"{name} in {path}"
                    for name in one.keys() | two.keys()
                    if name not in one or name not in two or not np.array_equal(one[name], two[name], equal_nan=True)
                ]
        return said


def copy_store(source: Path, target: Path, without: Step) -> Store:
    """A copy of a SQLite store in which a step has no run; it reads the artifacts where they are."""
    target.mkdir()
    with (
        closing(sqlite3.connect(source / "mlflow.db")) as original,
        closing(sqlite3.connect(target / "mlflow.db")) as copy,
    ):
        original.backup(copy)  # with what is still in the journal
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{target}/mlflow.db"
    store = open_store("overoptimization")
    client = store.client()
    for run in runs_of(client, store, without):
        client.delete_run(run)
    return store


@dataclass(frozen=True)
class Life:
    """A process that executed a step until it was killed.

    Attributes:
        begun, killed: when its work began and when it was killed, by `time.monotonic`.
        progress: each finished share that it reported, and when.
    """

    begun: float
    killed: float
    progress: list[tuple[float, float]]

    def lost_seconds(self, first_share: float) -> float:
        """How long it had worked on what was done again.

        Args:
            first_share: the first that was reported after the step was taken up.
        """
        kept_until = [when for when, share in self.progress if share < first_share]
        return self.killed - max(kept_until, default=self.begun)


def lost_seconds(lives: list[Life], last: list[tuple[float, float]]) -> list[float]:
    """What each kill cost.

    Args:
        lives: the killed ones.
        last: progress of the process that finished the step.
    """
    lost, first, after = [], 1.0, last
    for life in reversed(lives):
        first = after[0][1] if after else first
        lost.append(life.lost_seconds(first))
        after = life.progress
    return lost


def execute_until_done(
    store: Store,
    step: Step,
    seconds: float,
    lives: list[float],
    ending: signal.Signals = signal.SIGKILL,
    machine: Callable[[int], Mapping[str, str]] = lambda life: {},
    uploads_often: bool = False,
) -> tuple[list[Life], list[tuple[float, float]]]:
    """Execute a step in one process after another.

    Args:
        store: of the run.
        step: whose inputs have runs.
        seconds: between two states.
        lives: after how many seconds of work each process is killed; the one after the last is left alone.
        ending: the signal. One that is not SIGKILL is sent to a step that has begun to train, and must save a state.
        machine: environment variables of each process, counted from 0.
        uploads_often: states to a remote store of artifacts, rather than every five minutes.

    Returns:
        the processes that were killed, and the progress of the one that finished the step.
    """
    context, killed = process_context(), []
    for number, life in enumerate([*lives, None]):
        connection, reports = context.Pipe(duplex=False)
        waits = ending != signal.SIGKILL
        process = context.Process(
            target=_execute, args=(store, step, seconds, reports, waits, machine(number), uploads_often)
        )
        process.start()
        reports.close()
        first = None
        with suppress(EOFError):
            first = connection.recv()
        begun = time.monotonic()
        progress = _reported(connection, None if life is None else begun + life)
        if waits and first is not None:
            progress.insert(0, (begun, first))
        killed_at = time.monotonic()
        if life is not None:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(process.pid, ending)
        process.join()
        if process.exitcode == 0:
            return killed, progress
        killed.append(Life(begun, killed_at, progress))
        expected = -signal.SIGKILL if ending == signal.SIGKILL else _INTERRUPTED
        assert process.exitcode == expected, f"it ended with code {process.exitcode}"
        if waits:
            folder = Path(machine(number).get("MLPROJECT_STATES", states_folder(store)))
            assert list(folder.glob("*/running.*")), "it saved no state"
    raise AssertionError("the last process was killed by nobody and did not end")


def die_in_a_state(store: Store, step: Step, seconds: float, operation: int) -> bool:
    """Execute a step in a process that dies before a file operation, counted from its third state on.

    Args:
        store, step, seconds: see `execute_until_done`.
        operation: number of the file operation, from 0.

    Returns:
        whether it died; otherwise it has finished the step.
    """
    process = process_context().Process(target=_execute_and_die, args=(store, step, seconds, operation))
    process.start()
    process.join()
    assert process.exitcode in (0, _DIED), f"it ended with code {process.exitcode}"
    return process.exitcode == _DIED


def _execute_and_die(store: Store, step: Step, seconds: float, operation: int) -> None:
    written, done = 0, 0
    write = StateFolder.write

    def counted(function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            if written >= _WRITTEN_BEFORE and is_writing:
                if done == operation:
                    os._exit(_DIED)
                done += 1
            return function(*arguments, **options)

        return call

    is_writing = False

    def watched(folder: StateFolder, name: str, state: Any) -> Path:
        nonlocal written, is_writing
        is_writing = True
        path = write(folder, name, state)
        is_writing = False
        written += 1
        return path

    StateFolder.write = watched  # type: ignore[method-assign] # in a process of its own
    for name in ("save_file", "_flush", "_digest"):
        setattr(state_folder, name, counted(getattr(state_folder, name)))
    for name in ("replace", "unlink", "mkdir"):
        setattr(Path, name, counted(getattr(Path, name)))
    Scheduler(store, "", InProcessExecutor(), Progress(), seconds).run([step])


def remains(store: Store, step: Step) -> Remains:
    """What a step left in a store."""
    client = store.client()
    run_ids = runs_of(client, store, step)
    run = client.get_run(run_ids[0])
    folder = fetch(client, run)
    metrics = {
        (each.key, each.step, each.value)
        for name in run.data.metrics
        for each in client.get_metric_history(run.info.run_id, name)
    }
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    assert len({each.name for each in models}) == len(models), "a checkpoint of a killed process is left"
    folders = {"": folder, **{f"{each.name}/": fetch_uri(client, each.artifact_location) for each in models}}
    files = {
        prefix + path.relative_to(root).as_posix(): path
        for prefix, root in folders.items()
        for path in root.rglob("*")
        if path.is_file()
    }
    return Remains(
        frozenset(run_ids),
        run.info.status,
        frozenset(metrics),
        {name: _content(path) for name, path in files.items() if path.name != "MLmodel"},
    )


def runs_of(client: MlflowClient, store: Store, step: Step) -> list[str]:
    """Ids of the runs of a step, the newest first."""
    query = f"tags.`mlproject.fingerprint` = '{step.fingerprint}'"
    return [run.info.run_id for run in client.search_runs(store.experiments, query)]


def _reported(connection: Connection, until: float | None) -> list[tuple[float, float]]:
    """The shares that a process reports until a time, or until its end, and when."""
    progress = []
    with suppress(EOFError):
        while (left := None if until is None else until - time.monotonic()) is None or left > 0:
            if connection.poll(left):
                share = connection.recv()
                progress.append((time.monotonic(), share))
    return progress


def _execute(
    store: Store,
    step: Step,
    seconds: float,
    reports: Connection,
    waits_for_progress: bool,
    machine: Mapping[str, str],
    uploads_often: bool,
) -> None:
    """Execute a step and end this process: with 0 where it was finished, 130 where it was interrupted, else with 1."""
    os.environ.update(machine)
    if uploads_often:  # in a process of its own
        states.UploadedStates = partial(uploaded_states.UploadedStates, seconds=0.0)  # type: ignore[misc, assignment]
        uploaded_states._SHARE = 1.0
    for each in ENDING_SIGNALS:
        signal.signal(each, interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)  # the server that this process comes from blocks them

    class Announced(InProcessExecutor):
        def _execute(self, assignment: Any, on_progress: Any) -> Any:
            if not waits_for_progress:
                reports.send(0)
            return super()._execute(assignment, reports.send)

    try:
        Scheduler(store, "", Announced(), Progress(), seconds).run([step])
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _content(path: Path) -> Any:
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return dict(arrays)
    return load_file(path) if path.suffix == ".safetensors" and "bf16" not in path.name else path.read_bytes()
