"""Two machines and one store: what a dead one left is taken up, and a paused one finds its run gone and stops."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from mlproject.execution.executors import InProcessExecutor
from mlproject.execution.fork_server import process_context
from mlproject.execution.progress import Progress
from mlproject.execution.scheduler import Scheduler
from mlproject.names import Tag
from mlproject.pipeline.step import Run, Step
from mlproject.tracking import liveness
from mlproject.tracking.store import Store

pytestmark = pytest.mark.slow

LEASE = 5.0
PATIENCE = 60.0


def count(run: Run) -> None:
    """Log some numbers, and by whom."""
    for i in range(run.params["numbers"]):
        run.progress(i / run.params["numbers"])
        run.log_metrics({f"by {os.getpid()}": i}, step=i)
        time.sleep(0.1)
    (run.folder / "counted").write_text(str(os.getpid()))


def machine(store: Store, step: Step, host: str, told: Any) -> None:
    """Executes a step on a machine of another name, which sees no process of this one."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGINT])
    liveness.this_host = lambda: host  # in a process of its own
    told.send("begins")
    scheduler = Scheduler(store, "", InProcessExecutor(), Progress(), 0, LEASE)
    outcome = scheduler.run([step])[step]
    told.send((outcome.run_id, outcome.reused))


@contextmanager
def started(store: Store, step: Step, host: str) -> Iterator[tuple[BaseProcess, Any]]:
    context = process_context()
    told, tell = context.Pipe(duplex=False)
    process = context.Process(target=machine, args=(store, step, host, tell))
    process.start()
    assert told.recv() == "begins"
    yield process, told
    if process.is_alive():
        process.kill()
    process.join()


def remains(store: Store, step: Step) -> list[tuple]:
    client = store.client()
    runs = client.search_runs(store.experiments, f"tags.`{Tag.FINGERPRINT}` = '{step.fingerprint}'")
    return [
        (
            run.info.run_id,
            run.info.status,
            run.data.tags,
            {
                name: [each.value for each in client.get_metric_history(run.info.run_id, name)]
                for name in run.data.metrics
            },
            {path.name: path.read_text() for path in Path(run.info.artifact_uri.removeprefix("file://")).glob("*")},
        )
        for run in runs
    ]


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def has_logged(store: Store, step: Step, process: BaseProcess) -> bool:
    return any(f"by {process.pid}" in metrics for *_, metrics, _ in remains(store, step))


def test_what_a_machine_that_died_without_a_word_left_is_taken_up_within_its_lease(store: Store) -> None:
    step = Step("dead", "law", 1, {"numbers": 40}, fn=count)
    with started(store, step, "one") as (dead, _):
        wait_until(lambda: has_logged(store, step, dead))
        [(run_id, *_)] = remains(store, step)
        os.kill(dead.pid, signal.SIGKILL)
        with started(store, step, "two") as (heir, told):
            looks_since = time.monotonic()
            wait_until(lambda: has_logged(store, step, heir))
            assert time.monotonic() - looks_since < LEASE + 10
            assert told.recv() == (run_id, False)
    [(_, status, tags, _, artifacts)] = remains(store, step)
    assert (status, tags[Tag.HOST], artifacts["counted"]) == ("FINISHED", "two", str(heir.pid))


@pytest.mark.parametrize("host", ["two", "one"])
def test_a_machine_that_was_paused_for_longer_than_its_lease_writes_nothing_once_another_goes_on(
    store: Store, host: str
) -> None:
    step = Step(f"paused, {host}", "law", 1, {"numbers": 40, "host": host}, fn=count)
    with started(store, step, "one") as (paused, told):
        wait_until(lambda: has_logged(store, step, paused))
        os.kill(paused.pid, signal.SIGSTOP)
        with started(store, step, host) as (heir, told_by_heir):
            wait_until(lambda: has_logged(store, step, heir))
            taken_up = remains(store, step)
            os.kill(paused.pid, signal.SIGCONT)
            run_id, reused = told_by_heir.recv()
            assert not reused
            assert told.recv() == (run_id, True)
    [(_, status, tags, metrics, artifacts)] = remains(store, step)
    assert (status, tags[Tag.PID], artifacts["counted"]) == ("FINISHED", str(heir.pid), str(heir.pid))
    before = taken_up[0][3]
    assert metrics[f"by {paused.pid}"] == before[f"by {paused.pid}"]  # it has written nothing since
    assert metrics[f"by {heir.pid}"] == list(range(40))


def test_a_lease_is_kept_by_a_machine_that_is_alive(store: Store) -> None:
    """Twice as long as its term, while another machine waits for the run."""
    step = Step("alive", "law", 1, {"numbers": 100}, fn=count)
    with started(store, step, "one") as (alive, told):
        wait_until(lambda: has_logged(store, step, alive))
        with started(store, step, "two") as (_, told_other):
            run_id, reused = told.recv()
            assert not reused and told_other.recv() == (run_id, True)
    [(_, status, tags, metrics, _)] = remains(store, step)
    assert (status, tags[Tag.HOST]) == ("FINISHED", "one")
    assert metrics == {f"by {alive.pid}": list(range(100))}
    assert json.loads(tags[Tag.LEASE])["number"] >= 5
