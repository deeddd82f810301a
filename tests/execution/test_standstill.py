"""A step that stands still is named with what it is doing, wherever it runs; one that goes on is not."""

from __future__ import annotations

import io
import re
import time
from dataclasses import dataclass, field

import pytest
from tests.execution.thread_executor import ThreadExecutor
from tests.execution.toy_steps import toy

from mlproject.execution import progress
from mlproject.execution.executors import InProcessExecutor
from mlproject.execution.progress import Progress
from mlproject.execution.scheduler import Scheduler
from mlproject.execution.standstill import Report, duration, standstill_is_named
from mlproject.pipeline.step import Run


@dataclass
class Work:
    """Says of its progress what a run does."""

    share: float = 0.0
    moved_at: float = field(default_factory=time.monotonic)

    def move(self, share: float) -> None:
        self.share, self.moved_at = share, time.monotonic()


def a_function_that_waits(seconds: float) -> None:
    time.sleep(seconds)


def sentences(said: list[Report]) -> list[str]:
    return [each for each in said if isinstance(each, str)]


def test_a_step_that_waits_is_named_with_the_function_in_which_it_does_and_seldom_again() -> None:
    said: list[Report] = []
    work = Work(0.4)
    with standstill_is_named(work, said.append, 0.1):
        a_function_that_waits(0.55)
    first, *more = sentences(said)
    assert re.fullmatch(
        r"no progress for 0 s, since 40%; it is in a_function_that_waits \(execution/test_standstill.py, line \d+\)",
        first,
    )
    assert 1 <= len(more) <= 2  # five times the time
    before = len(said)
    time.sleep(0.2)
    assert len(said) == before


def test_a_step_that_goes_on_says_its_share_again_and_is_not_named() -> None:
    said: list[Report] = []
    work = Work()
    with standstill_is_named(work, said.append, 0.4):
        for tenth in range(10):
            work.move(tenth / 10)
            time.sleep(0.05)
    assert sentences(said) == []
    assert len(said) > 3 and said == sorted(said)


def test_nothing_is_said_where_nobody_wants_it() -> None:
    said: list[Report] = []
    with standstill_is_named(Work(moved_at=-1e9), said.append, 0):
        time.sleep(0.05)
    assert said == []


def wait_long(run: Run) -> None:
    run.progress(0.25)
    time.sleep(0.5)


@pytest.mark.parametrize(("executor", "version"), [(InProcessExecutor, 101), (ThreadExecutor, 102)])
def test_a_study_says_which_step_stands_still_and_where(store, executor, version, monkeypatch) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_SECONDS", 1e9)
    stream = io.StringIO()
    step = toy("waits", 1, fn=wait_long, version=version)
    scheduler = Scheduler(store, "a study", executor(), Progress(stream), stall_seconds=0.2)
    scheduler.run([step])
    scheduler.close()
    lines = [line for line in stream.getvalue().splitlines() if "no progress" in line]
    assert lines and re.search(
        r"waits: no progress for 0 s, since 25%; it is in wait_long \(execution/test_standstill.py, line \d+\)",
        lines[0],
    )


def test_a_process_that_says_nothing_any_more_is_named_by_whoever_waits_for_it(monkeypatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    display = Progress(stream := io.StringIO())
    display.silent_seconds = 600
    for name in ("queued", "paused", "busy"):
        display.start(name)
    display.update("paused", 0.5)
    for now in (300, 601, 700, 1201, 1203):
        display.update("busy", now / 2000)
        display.name_silent()
    silent = [line for line in stream.getvalue().splitlines() if "said nothing" in line]
    pattern = r"\] (\w+): its process has said nothing for (\w+ \w+), since 50%"
    assert [re.search(pattern, line).groups() for line in silent] == [("paused", "10 min"), ("paused", "20 min")]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (119, "119 s"), (600, "10 min"), (7000, "117 min"), (9000, "2.5 h")]
)
def test_times_are_said_as_a_person_does(seconds: float, said: str) -> None:
    assert duration(seconds) == said
