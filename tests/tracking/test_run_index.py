"""The index of runs: what is reused, what is resumed, and which of several processes executes a step."""

from __future__ import annotations

import pytest

from mlproject.tracking.liveness import process_tags
from mlproject.tracking.run_index import RunIndex, may_execute

DEAD = process_tags() | {"mlproject.pid_started": "1.00"}
OTHER_PROCESS = process_tags() | {"mlproject.host": "elsewhere"}


@pytest.fixture
def index(store):
    """Reads the store when it is called."""
    return lambda: RunIndex(store.client(), store)


def test_finished_runs_are_reused_and_failed_or_killed_ones_resumed(index, leave_run):
    run_ids = {status: leave_run(status, status) for status in ("FINISHED", "FAILED", "KILLED", "RUNNING")}
    runs = index()
    assert runs.finished["FINISHED"] == run_ids["FINISHED"]
    assert {status: runs.interrupted[status] for status in ("FAILED", "KILLED")} == {
        status: run_ids[status] for status in ("FAILED", "KILLED")
    }
    assert not {"FAILED", "KILLED", "RUNNING"} & set(runs.finished)
    assert not {"FINISHED", "RUNNING"} & set(runs.interrupted)


@pytest.mark.parametrize(
    ("stop", "reused"), [("budget", False), ("forecast", True), ("kl-budget", True), (None, False)]
)
def test_a_run_that_ended_before_its_budget_is_reused_only_by_a_step_that_asked_for_that(
    stop, reused, index, leave_run
):
    params = {} if stop is None else {"stop": stop}
    leave_run(f"early {stop}", tags={"mlproject.complete": "false"}, params=params)
    assert (f"early {stop}" in index().finished) is reused


def test_of_several_finished_runs_the_newest_is_reused(index, leave_run):
    leave_run("twice", start_time=1000)
    newest = leave_run("twice", start_time=2000)
    assert index().finished["twice"] == newest


def test_a_step_whose_runs_are_ignored_is_executed_again_and_its_new_run_counts(index, leave_run):
    old = {leave_run("ignored"), leave_run("ignored")}
    runs = index()
    runs.ignore("ignored")
    assert "ignored" not in runs.finished
    assert runs.ignored_run_ids == old
    assert not runs.is_running("ignored")
    assert "ignored" not in runs.finished
    new = leave_run("ignored")
    assert not runs.is_running("ignored")
    assert runs.finished["ignored"] == new


def test_a_step_runs_while_a_living_process_has_a_run_of_it(store, index, leave_run):
    runs = index()
    assert not runs.is_running("alive")
    run_id = leave_run("alive", "RUNNING", tags=OTHER_PROCESS)
    assert runs.is_running("alive")
    store.client().set_terminated(run_id, "FINISHED")
    assert not runs.is_running("alive")
    assert runs.finished["alive"] == run_id


def test_the_run_of_a_process_that_has_died_is_closed_and_resumed(store, index, leave_run):
    run_id = leave_run("dead", "RUNNING", tags=DEAD)
    runs = index()
    assert "dead" not in runs.interrupted
    assert not runs.is_running("dead")
    assert runs.interrupted["dead"] == run_id
    assert store.client().get_run(run_id).info.status == "KILLED"


def test_of_two_processes_that_open_a_run_at_once_the_one_with_the_older_run_executes_the_step(store, leave_run):
    older = leave_run("race", "RUNNING", tags=process_tags(), start_time=1000)
    newer = leave_run("race", "RUNNING", tags=process_tags(), start_time=2000)
    assert may_execute(store.client(), store, "race", older, set())
    assert not may_execute(store.client(), store, "race", newer, set())


def test_of_two_processes_that_resume_a_run_at_once_the_last_executes_the_step(store, leave_run):
    run_id = leave_run("resumed", "RUNNING", tags=process_tags())
    assert may_execute(store.client(), store, "resumed", run_id, set())
    store.client().set_tag(run_id, "mlproject.host", "elsewhere")  # another process has put its own tags on it
    assert not may_execute(store.client(), store, "resumed", run_id, set())


def test_a_step_that_another_process_has_finished_is_not_executed_unless_that_run_is_ignored(store, leave_run):
    finished = leave_run("done")
    mine = leave_run("done", "RUNNING", tags=process_tags())
    assert not may_execute(store.client(), store, "done", mine, set())
    assert may_execute(store.client(), store, "done", mine, {finished})


def test_an_abandoned_run_does_not_keep_a_process_from_executing_the_step(store, leave_run):
    leave_run("left", "RUNNING", tags=DEAD, start_time=1000)
    mine = leave_run("left", "RUNNING", tags=process_tags(), start_time=2000)
    assert may_execute(store.client(), store, "left", mine, set())
