"""Executors: all of them give the same runs, and worker processes fail, die and are interrupted without lies."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError

import psutil
import pytest
from tests.execution.thread_executor import ThreadExecutor
from tests.execution.toy_steps import (
    UnpicklableError,
    add_slowly,
    assignment,
    cling,
    diamond,
    die,
    divide_by_zero,
    leave,
    lose_the_connection,
    raise_unpicklable,
    scheduler,
    total,
    toy,
)

from mlproject.errors import UserError
from mlproject.execution import worker
from mlproject.execution.executors import Executor, InProcessExecutor, LocalExecutor
from mlproject.execution.worker import WorkerLostError
from mlproject.pipeline.step import Step
from mlproject.tracking.store import Store

VERSIONS = itertools.count(5000)  # each makes another step


@pytest.fixture(scope="module")
def local() -> Iterator[LocalExecutor]:
    executor = LocalExecutor(2)
    yield executor
    executor.shutdown()


@pytest.fixture(params=["in process", "threads", "processes"])
def executor(request: pytest.FixtureRequest, local: LocalExecutor) -> Executor:
    return {"in process": InProcessExecutor(), "threads": ThreadExecutor(2), "processes": local}[request.param]


HERE = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def ignore(share: float) -> None: ...


def runs(store: Store, step: Step) -> list:
    return store.client().search_runs(store.experiments, f"tags.`mlproject.fingerprint` = '{step.fingerprint}'")


def test_every_executor_gives_the_runs_that_this_process_alone_gives(store: Store, executor: Executor) -> None:
    def executed(executor: Executor) -> dict[str, tuple]:
        steps = scheduler(store, executor)
        for step in (last := diamond(3, 1), *last.inputs.values(), last.inputs["left"].inputs["source"]):
            steps.forget(step)  # whatever other executors made
        results = {}
        for step, outcome in steps.run([last]).items():
            assert not outcome.reused
            run = store.client().get_run(outcome.run_id)
            tags = {name: value for name, value in run.data.tags.items() if not _names_process_or_run(name)}
            number = total(store, outcome.run_id)
            results[step.name] = number, run.info.status, run.data.params, run.data.metrics, tags
        return results

    results = executed(executor)
    assert results == executed(InProcessExecutor())
    assert {name: result[0] for name, result in results.items()} == {"source": 3, "left": 13, "right": 23, "sum": 136}


def _names_process_or_run(tag: str) -> bool:
    return tag.startswith(("mlflow.", "mlproject.pid")) or tag in ("mlproject.inputs", "mlproject.lease")


def test_a_step_that_fails_raises_in_every_executor_and_leaves_a_run_that_says_so(
    store: Store, executor: Executor
) -> None:
    step = toy("divided", 1, fn=divide_by_zero, version=next(VERSIONS))
    with pytest.raises(ZeroDivisionError, match="planted"):
        executor.submit(assignment(store, step), ignore).result()
    assert [run.info.status for run in runs(store, step)] == ["FAILED"]


def test_progress_arrives_in_order(store: Store, executor: Executor) -> None:
    shares: list[float] = []
    executor.submit(assignment(store, toy("reporting", 1, version=next(VERSIONS))), shares.append).result()
    assert shares == [0.5]


def test_an_assignment_survives_pickling_with_its_function(store: Store) -> None:
    ours = assignment(store, diamond())
    theirs = pickle.loads(pickle.dumps(ours))
    assert theirs == ours
    assert theirs.step.fn is ours.step.fn and theirs.step.name == "sum"


def test_an_error_from_a_worker_carries_its_traceback(store: Store, local: LocalExecutor) -> None:
    with pytest.raises(ZeroDivisionError) as error:
        local.submit(assignment(store, toy("divided", 1, fn=divide_by_zero, version=4000)), ignore).result()
    [note] = error.value.__notes__
    assert "toy_steps.py" in note and "in divide_by_zero" in note


def test_an_error_that_cannot_be_pickled_arrives_by_its_text(store: Store, local: LocalExecutor) -> None:
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(UnpicklableError(1, 2)))
    with pytest.raises(RuntimeError, match="UnpicklableError: 1 and 2"):
        local.submit(assignment(store, toy("odd", 1, fn=raise_unpicklable, version=4001)), ignore).result()


def test_a_connection_error_of_a_step_is_no_lost_worker(store: Store, local: LocalExecutor) -> None:
    with pytest.raises(ConnectionError, match="a server of the step's own"):
        local.submit(assignment(store, toy("offline", 1, fn=lose_the_connection, version=4002)), ignore).result()


def test_processes_are_used_again_and_as_many_as_there_are_slots(store: Store, local: LocalExecutor) -> None:
    steps = [toy(f"step {value}", value, version=4003) for value in range(5)]
    for future in [local.submit(assignment(store, step), ignore) for step in steps]:
        future.result()
    pids = {run.data.tags["mlproject.pid"] for step in steps for run in runs(store, step)}
    assert len(pids) <= 2 and str(os.getpid()) not in pids


def test_a_killed_worker_is_reported_and_the_next_step_gets_a_new_one(store: Store, local: LocalExecutor) -> None:
    step = toy("killed", 1, fn=die, version=4004)
    with pytest.raises(WorkerLostError, match=f"exit code -{signal.SIGKILL.value}"):
        local.submit(assignment(store, step), ignore).result()
    for value in range(3):
        outcome = local.submit(assignment(store, toy("next", value, version=4005)), ignore).result()
        assert outcome is not None and total(store, outcome.run_id) == value

    steps = scheduler(store, InProcessExecutor())  # it finds the run of the killed process, and resumes it
    [killed] = runs(store, step)
    assert killed.info.status == "KILLED"
    assert steps.run([toy("killed", 1, version=4004)])[step].run_id == killed.info.run_id


def test_a_step_that_ends_its_process_is_a_mistake_of_one_line(store: Store) -> None:
    steps, step = scheduler(store, LocalExecutor(1)), toy("leaves", 1, fn=leave, version=4010)
    with pytest.raises(UserError, match=r"^leaves: its process must not end .* with exit code 7"):
        steps.run([step])
    steps.close(interrupt=True)
    assert [run.info.status for run in runs(store, step)] == ["KILLED"]


def test_a_step_that_swallows_interruptions_is_killed_and_its_run_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_PATIENCE_SECONDS", 1.0)
    executor, step, shares = LocalExecutor(1), toy("clings", 1, fn=cling, version=4011), []
    steps = scheduler(store, executor)
    future = executor.submit(assignment(store, step), shares.append)
    while not shares:
        time.sleep(0.05)
    since = time.monotonic()
    steps.close(interrupt=True)
    assert time.monotonic() - since < 4
    assert isinstance(future.exception(), WorkerLostError)
    assert [run.info.status for run in runs(store, step)] == ["KILLED"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_reaches_a_busy_worker_closes_its_run(store: Store, local: LocalExecutor, ending: int) -> None:
    step, shares = toy("slow", int(ending), fn=add_slowly, version=4012), []
    future = local.submit(assignment(store, step), shares.append)
    while not shares:
        time.sleep(0.05)
    [run] = runs(store, step)
    os.kill(int(run.data.tags["mlproject.pid"]), ending)
    assert isinstance(future.exception(), KeyboardInterrupt)
    assert [run.info.status for run in runs(store, step)] == ["KILLED"]


def test_a_worker_that_is_still_importing_is_not_waited_for(store: Store) -> None:
    code = (
        "import sys, time, threading; from tests.execution.toy_steps import *;"
        "from mlproject.execution.executors import LocalExecutor;"
        "from mlproject.tracking.store import open_store; from multiprocessing import get_context;"
        "executor = LocalExecutor(1); executor._context.set_forkserver_preload(['tests.execution.slow_import']);"
        "executor.submit(assignment(open_store('trial'), toy('late', 1, version=4013)), print);"
        "time.sleep(2); since = time.monotonic(); executor.interrupt(); executor.shutdown();"
        "print(time.monotonic() - since)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=HERE)
    assert answer.stderr == ""
    assert 0.5 < float(answer.stdout) < 4


def test_after_an_interruption_nothing_is_started(store: Store) -> None:
    executor, step = LocalExecutor(1), toy("late", 1, version=4007)
    executor.interrupt()
    with pytest.raises(CancelledError):
        executor.submit(assignment(store, step), ignore).result()
    executor.shutdown()
    assert runs(store, step) == []


def test_an_interrupted_executor_ends_its_steps_with_closed_runs_and_leaves_no_process(store: Store) -> None:
    children = set(psutil.Process().children(recursive=True))
    executor = LocalExecutor(2)
    steps = [toy("slow", value, fn=add_slowly, version=4006) for value in (1, 2)]
    shares: dict[int, list[float]] = {1: [], 2: []}
    futures = [executor.submit(assignment(store, step), shares[step.params["value"]].append) for step in steps]
    deadline = time.monotonic() + 60
    while not all(shares.values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    executor.interrupt()
    executor.shutdown()
    for future, step in zip(futures, steps, strict=True):
        assert isinstance(future.exception(), KeyboardInterrupt)
        assert [run.info.status for run in runs(store, step)] == ["KILLED"]
    left = [child for child in set(psutil.Process().children(recursive=True)) - children if child.status() != "zombie"]
    assert not left
