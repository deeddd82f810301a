"""The run of a step: found again, taken up, filled without doubles, reaped when its process is gone."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import pytest

from mlproject.names import Tag
from mlproject.pipeline.step import Step
from mlproject.tracking.liveness import reap
from mlproject.tracking.run_index import RunIndex
from mlproject.tracking.runs import StepRun, execute
from mlproject.tracking.store import open_store


def step_named(name, **params):
    return Step(name, "law", 1, {"which": name, **params}, "nowhere")


def test_experiments_keep_their_artifacts_beside_the_database(store):
    for experiment in store.experiments:
        location = store.client().get_experiment(experiment).artifact_location
        assert location.startswith((store.folder / "mlruns").as_uri())


def test_opening_the_store_again_finds_the_same_experiments(store):
    assert open_store("trial") == store


def test_a_finished_run_is_found_by_the_fingerprint_of_its_step(store):
    step = step_named("finished")
    run = StepRun(store, step, {}, made_by="x")
    execute(run, lambda run: (run.folder / "result.txt").write_text("done"))
    assert RunIndex(store.client(), store).finished[step.fingerprint] == run.run_id
    path = store.client().download_artifacts(run.run_id, "result.txt")
    assert Path(path).read_text() == "done"


def test_work_that_fails_leaves_a_failed_run_without_artifacts(store):
    step = step_named("failing")
    run = StepRun(store, step, {}, made_by="x")

    def work(run):
        (run.folder / "half.txt").write_text("half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        execute(run, work)
    index = RunIndex(store.client(), store)
    assert store.client().get_run(run.run_id).info.status == "FAILED"
    assert store.client().list_artifacts(run.run_id) == []
    assert step.fingerprint not in index.finished
    assert index.interrupted[step.fingerprint] == run.run_id


def test_a_run_taken_up_has_every_point_once_and_ends_finished(store):
    step = step_named("taken-up", rate=0.5)

    def work(run):
        for n in range(5):
            run.log_metrics({"curve/gold": n / 3}, step=n)
        if run is first:
            raise KeyboardInterrupt

    first = StepRun(store, step, {}, made_by="x")
    with pytest.raises(KeyboardInterrupt):
        execute(first, work)
    client = store.client()
    assert client.get_run(first.run_id).info.status == "KILLED"
    second = StepRun(store, step, {}, made_by="y", resume_run_id=first.run_id)
    execute(second, work)
    assert second.run_id == first.run_id
    assert client.get_run(first.run_id).info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(first.run_id, "curve/gold")] == [0, 1, 2, 3, 4]


def test_a_run_ended_before_its_budget_is_not_reused_as_a_whole_curve(store):
    step = dataclasses.replace(step_named("stopped"), tags={Tag.COMPLETE: "false"})
    run = StepRun(store, step, {}, made_by="x")
    execute(run, lambda run: None)
    assert step.fingerprint not in RunIndex(store.client(), store).finished


def test_numbers_that_are_not_finite_are_not_logged(store):
    run = StepRun(store, step_named("nan"), {}, made_by="x")
    execute(run, lambda run: run.log_metrics({"good": 1.0, "bad": math.nan, "worse": math.inf}))
    assert "good" in (metrics := store.client().get_run(run.run_id).data.metrics)
    assert not {"bad", "worse"} & set(metrics)


def test_the_reaper_closes_runs_of_dead_processes_and_no_others(store):
    client = store.client()
    mine, theirs, reused = (StepRun(store, step_named(f"reaped-{i}"), {}, made_by="x") for i in range(3))
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    client.set_tag(theirs.run_id, Tag.PID, process.pid)
    client.set_tag(reused.run_id, Tag.PID_STARTED, "1.00")  # the process id was given out again
    assert set(reap(client, store)) == {theirs.run_id, reused.run_id}
    statuses = [client.get_run(run.run_id).info.status for run in (mine, theirs, reused)]
    assert statuses == ["RUNNING", "KILLED", "KILLED"]
    mine.close("KILLED")
