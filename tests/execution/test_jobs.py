"""Jobs that the scheduler runs side by side: what they share, what they are told, and how they end."""

from __future__ import annotations

import os

import pytest
from mlflow.exceptions import MlflowException
from tests.execution.test_scheduler import RecordingExecutor, recorded
from tests.execution.toy_steps import divide_by_zero, scheduler, total, toy

from mlproject.execution.executors import InProcessExecutor
from mlproject.execution.jobs import Job, Request, one_request
from mlproject.pipeline.step import Run, Step
from mlproject.tracking.store import Store


def test_a_job_asks_for_more_when_it_has_seen_what_it_asked_for(store: Store) -> None:
    steps, executor = recorded(store)

    def doubling() -> Job[list[int]]:
        value, seen = 901, []
        for _ in range(3):
            step = toy(f"step {value}", value, version=40)
            outcomes = yield Request([step])
            value = 2 * total(store, outcomes[step].run_id)
            seen.append(value)
        return seen

    other = toy("of another job", 77, version=40)
    seen, outcomes = steps.run_jobs(doubling(), one_request(Request([other])))
    assert seen == [1802, 3604, 7208]
    assert total(store, outcomes[other].run_id) == 77
    assert executor.names[0] in ("step 901", "of another job") and len(executor.names) == 4


def test_a_step_of_two_jobs_is_executed_once_and_whole_where_one_of_them_needs_it_whole(store: Store) -> None:
    shared, alone = toy("shared", 910, version=41), toy("alone", 911, version=41)
    rule = lambda point: None  # noqa: E731
    search = Request([shared, alone], "a search", {shared: rule, alone: rule})
    steps, executor = recorded(store)
    first, second = steps.run_jobs(one_request(Request([shared])), one_request(search))
    assert first[shared] == second[shared]
    given = {each.step.name: (each.made_by, each.stop_rule) for each in executor.assignments}
    assert given == {"shared": ("a study", None), "alone": ("a search", rule)}
    assert sorted(executor.names) == ["alone", "shared"]


def test_a_failure_reaches_the_job_that_asked_for_the_step_and_ends_the_others(store: Store) -> None:
    told: list[str] = []

    def asking(name: str, step: Step) -> Job[None]:
        try:
            yield Request([step])
            told.append(f"{name} is done")
        except ZeroDivisionError:
            told.append(f"{name} failed")
            raise
        except GeneratorExit:
            told.append(f"{name} was ended")
            raise

    def looking() -> Job[None]:
        try:
            while True:
                yield Request()
        except GeneratorExit:
            told.append("the one that looks on was ended")
            raise

    bad = toy("bad", 920, fn=divide_by_zero, version=42)
    steps = scheduler(store, RecordingExecutor())
    with pytest.raises(ZeroDivisionError):
        steps.run_jobs(asking("the asker", bad), looking())
    assert told == ["the asker failed", "the one that looks on was ended"]
    assert steps.failed == bad


def test_a_job_that_needs_nothing_looks_again_while_others_wait(store: Store) -> None:
    looks = 0

    def looking() -> Job[int]:
        nonlocal looks
        while looks < 3:
            looks += 1
            yield Request()
        return looks

    step = toy("meanwhile", 930, version=43)
    steps, _ = recorded(store)
    answer, outcomes = steps.run_jobs(looking(), one_request(Request([step])))
    assert answer == 3 and step in outcomes


def test_jobs_that_end_because_the_tracking_server_is_away_do_not_wait_for_it_again(store: Store) -> None:
    """A search's job closes its run when a step of the study fails, for example."""
    asked: list[str | None] = []

    def closing() -> Job[None]:
        try:
            while True:
                yield Request()
        finally:
            asked.append(os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES"))

    for fn in (lose_the_server, divide_by_zero):
        with pytest.raises((MlflowException, ZeroDivisionError)):
            steps = scheduler(store, InProcessExecutor())
            steps.run_jobs(closing(), one_request(Request([toy(fn.__name__, 950, version=45, fn=fn)])))
    assert asked == ["0", None]


def lose_the_server(run: Run) -> None:
    raise MlflowException("API request to http://127.0.0.1:9/ failed with exception: refused")
