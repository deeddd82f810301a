"""The run of a step: what it is tagged with, how it is filled without doubles, and the status that it ends with."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import partial
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from mlproject.pipeline.step import Step
from mlproject.tracking.closing import execute
from mlproject.tracking.liveness import process_tags
from mlproject.tracking.params import as_text
from mlproject.tracking.run_data import artifact
from mlproject.tracking.run_index import RunIndex
from mlproject.tracking.runs import StepRun


def step_named(name, kind="law", **params):
    return Step(name, kind, 1, {"which": name, **params})


def policy_run(name):
    params = {"method": "ppo", "world": "helpdesk", "world_seed": 0, "curve_prompts": 8}
    step = step_named(name, "policy-run", **params)
    return dataclasses.replace(step, inherited_params={"rm_size": "13k", "rm_params": 12800})


def save_text(folder, text):
    (folder / "weights").write_text(text)


def test_a_run_is_tagged_with_what_it_is_what_it_reads_and_who_executes_it(store):
    step = dataclasses.replace(
        policy_run("tagged"), tags={"mlproject.method": "ppo"}, execution_options={"accumulation": 4}
    )
    run = StepRun(store, step, {"proxy-rm": "a", "pool": "b"}, made_by="study")
    left = store.client().get_run(run.run_id)
    assert left.info.experiment_id == store.policy_runs
    assert left.info.run_name == "tagged"
    tags = {name: value for name, value in left.data.tags.items() if name.startswith("mlproject.")}
    assert json.loads(tags.pop("mlproject.lease"))["seconds"] == 90
    assert tags == {
        "mlproject.kind": "policy-run",
        "mlproject.fingerprint": step.fingerprint,
        "mlproject.made_by": "study",
        "mlproject.inputs": '{"proxy-rm": "a", "pool": "b"}',
        "mlproject.proxy_run_id": "a",
        "mlproject.method": "ppo",
        "mlproject.how.accumulation": "4",
        **process_tags(),
    }
    assert left.data.params == {
        "which": "tagged", "method": "ppo", "world": "helpdesk", "world_seed": "0", "curve_prompts": "8",
        "rm_size": "13k", "rm_params": "12800",
    }  # fmt: skip
    run.close("KILLED")


def test_a_finished_run_is_found_by_the_fingerprint_of_its_step(store):
    step = step_named("finished")
    run = StepRun(store, step, {}, made_by="x")
    execute(run, lambda run: (run.folder / "result.txt").write_text("done"))
    assert RunIndex(store.client(), store).finished[step.fingerprint] == run.run_id
    path = store.client().download_artifacts(run.run_id, "result.txt")
    assert Path(path).read_text() == "done"
    assert not run.folder.exists()


def test_a_step_that_fails_leaves_a_failed_run_without_artifacts(store):
    step = step_named("failing")
    run = StepRun(store, step, {}, made_by="x")

    def fill(run):
        (run.folder / "half.txt").write_text("half")
        run.log_metrics({"curve/gold": 1.0})
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        execute(run, fill)
    index = RunIndex(store.client(), store)
    left = store.client().get_run(run.run_id)
    assert left.info.status == "FAILED"
    assert left.data.metrics == {"curve/gold": 1.0}, "what was measured stays"
    assert store.client().list_artifacts(run.run_id) == []
    assert step.fingerprint not in index.finished
    assert index.interrupted[step.fingerprint] == run.run_id


def test_a_run_whose_metrics_the_server_refuses_ends_failed_and_not_running(store):
    run = StepRun(store, step_named("refused"), {}, made_by="x")
    with pytest.raises(MlflowException):
        execute(run, lambda run: run.log_metrics({"good": 1.0}, step=10**30))
    assert store.client().get_run(run.run_id).info.status == "FAILED"


def test_a_resumed_run_has_every_point_once_and_ends_finished(store):
    step = step_named("resumed", rate=0.5)

    def fill(run):
        for n in range(5):
            run.log_metrics({"curve/gold": n / 3}, step=n)
        if run is first:
            raise KeyboardInterrupt

    first = StepRun(store, step, {}, made_by="x")
    with pytest.raises(KeyboardInterrupt):
        execute(first, fill)
    client = store.client()
    assert client.get_run(first.run_id).info.status == "KILLED"
    second = StepRun(store, step, {}, made_by="y", resume_run_id=first.run_id)
    execute(second, fill)
    assert second.run_id == first.run_id
    assert client.get_run(first.run_id).info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(first.run_id, "curve/gold")] == [0, 1, 2, 3, 4]


def test_a_resumed_run_has_every_checkpoint_once(store):
    def fill(run):
        for stage, step in (("peak", 3), ("end", 7)):
            run.log_checkpoint(stage, step, {"gold": step / 10}, partial(save_text, text=stage))
        if run is first:
            raise KeyboardInterrupt

    first = StepRun(store, policy_run("checkpoints"), {}, made_by="x")
    with pytest.raises(KeyboardInterrupt):
        execute(first, fill)
    execute(StepRun(store, policy_run("checkpoints"), {}, made_by="x", resume_run_id=first.run_id), fill)
    models = store.client().search_logged_models([store.policy_runs], f"source_run_id = '{first.run_id}'")
    assert sorted(model.name for model in models) == ["ppo-end", "ppo-peak"]
    best = store.client().search_logged_models(
        [store.policy_runs],
        f"source_run_id = '{first.run_id}'",
        order_by=[{"field_name": "metrics.gold", "ascending": False}],
    )[0]
    assert best.tags["mlproject.stage"] == "end"
    assert (Path(best.artifact_location.removeprefix("file://")) / "weights").read_text() == "end"
    audit = dataclasses.replace(step_named("audit"), params={})
    later = StepRun(store, audit, {"policy-run": first.run_id}, made_by="x")
    assert (later.checkpoint("policy-run", "peak") / "weights").read_text() == "peak"
    later.close("KILLED")


def test_equal_checkpoints_and_the_model_of_a_run_are_one_file(store):
    def fill(run):
        for stage in ("peak", "end"):
            run.log_checkpoint(stage, 3, {"gold": 0.3}, partial(save_text, text="the same"))
        (run.folder / "model").mkdir()
        save_text(run.folder / "model", text="the same")

    run = StepRun(store, policy_run("shared"), {}, made_by="x")
    execute(run, fill)
    models = store.client().search_logged_models([store.policy_runs], f"source_run_id = '{run.run_id}'")
    folders = [Path(model.artifact_location.removeprefix("file://")) for model in models]
    folders.append(artifact(store.client(), run.run_id, "model"))
    assert len({(folder / "weights").stat().st_ino for folder in folders}) == 1
    assert (folders[0] / "weights").stat().st_nlink == 3


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_cannot_log_its_params_is_closed(error, status, store, monkeypatch):
    def fail(self, params):
        raise error("planted")

    monkeypatch.setattr(StepRun, "log_params", fail)
    with pytest.raises(error):
        StepRun(store, policy_run(f"no params, {status}"), {}, made_by="x")
    [run] = store.client().search_runs([store.policy_runs], f"attributes.run_name = 'no params, {status}'")
    assert run.info.status == status


def test_a_discarded_run_leaves_nothing_behind_unless_it_was_resumed(store):
    client = store.client()
    opened = StepRun(store, step_named("opened"), {}, made_by="x")
    opened.discard(delete=True)
    assert client.get_run(opened.run_id).info.lifecycle_stage == "deleted"
    resumed = StepRun(store, step_named("left"), {}, made_by="x")
    resumed.discard(delete=False)
    assert client.get_run(resumed.run_id).info.lifecycle_stage == "active"
    assert not opened.folder.exists()
    assert not resumed.folder.exists()


def test_metrics_have_a_time_that_depends_on_run_and_step_alone(store):
    run = StepRun(store, step_named("times"), {}, made_by="x")
    execute(run, lambda run: run.log_metrics({"curve/gold": 1.0}, step=40))
    start = store.client().get_run(run.run_id).info.start_time
    [entry] = store.client().get_metric_history(run.run_id, "curve/gold")
    assert entry.timestamp == start + 40


def test_metrics_wait_for_a_batch_and_publishing_sends_them(store):
    run = StepRun(store, step_named("batch"), {}, made_by="x")
    run.log_metrics({f"signs/{i}": float(i) for i in range(1500)})
    assert store.client().get_run(run.run_id).data.metrics == {}
    (run.folder / "file.txt").write_text("now")
    run.publish()
    assert len(store.client().get_run(run.run_id).data.metrics) == 1500, "more than MLflow takes at a time"
    assert [item.path for item in store.client().list_artifacts(run.run_id)] == ["file.txt"]
    run.close("KILLED")


def test_numbers_that_are_not_finite_are_not_logged(store):
    run = StepRun(store, step_named("nan"), {}, made_by="x")
    execute(run, lambda run: run.log_metrics({"good": 1.0, "bad": math.nan, "worse": math.inf}))
    assert store.client().get_run(run.run_id).data.metrics == {"good": 1.0}


def test_a_table_that_is_written_again_has_its_rows_once(store):
    run = StepRun(store, step_named("table"), {}, made_by="x")
    for score in (0.5, 1.5):
        run.log_table([{"case": "a", "score": score}, {"case": "b", "score": -score}], "samples.json")
    assert json.loads((run.folder / "samples.json").read_text()) == {
        "columns": ["case", "score"],
        "data": [["a", 1.5], ["b", -1.5]],
    }
    tag = store.client().get_run(run.run_id).data.tags["mlflow.loggedArtifacts"]
    assert json.loads(tag) == [{"path": "samples.json", "type": "table"}]
    run.close("KILLED")


def test_more_params_than_mlflow_takes_at_a_time_are_all_logged(store):
    run = StepRun(store, step_named("params", **{f"p{i}": i for i in range(250)}), {}, made_by="x")
    assert len(store.client().get_run(run.run_id).data.params) == 251
    run.close("KILLED")


def test_time_on_the_tracking_server_is_counted_apart(store):
    run = StepRun(store, step_named("time"), {}, made_by="x")
    opening = run.tracking_seconds
    assert opening > 0
    run.set_tags({"a": "b"})
    assert run.tracking_seconds > opening
    run.close("KILLED")


@pytest.mark.parametrize(
    ("value", "text"), [(("1k", "3k"), "1k,3k"), ([1, 2.5], "1,2.5"), ((), ""), (0.1, "0.1"), (True, "True")]
)
def test_a_param_is_stored_as_text_and_a_list_as_its_items(value, text):
    assert as_text(value) == text
