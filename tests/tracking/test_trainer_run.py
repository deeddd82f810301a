"""The run of another trainer: written to beside the trainer's own metrics, also after the trainer has closed it."""

from __future__ import annotations

import math

import mlflow
import pytest

from mlproject.names.escape import fit_key, original_name
from mlproject.tracking.trainer_run import TrainerRun


@pytest.fixture
def run_id(store):
    return store.client().create_run(store.studies, start_time=5000).info.run_id


def test_without_an_open_run_there_is_none(store):
    assert TrainerRun.active() is None


def test_the_open_run_of_the_process_is_used(store):
    mlflow.set_tracking_uri(store.tracking_uri)
    with mlflow.start_run(experiment_id=store.studies) as open_run:
        assert TrainerRun.active().run_id == open_run.info.run_id
    assert TrainerRun.active() is None


def test_metrics_have_the_trainers_step_and_a_time_of_their_own(store, run_id):
    TrainerRun(store.client(), run_id).log_metrics({"curve/kl": 2.5}, step=30)
    [entry] = store.client().get_metric_history(run_id, "curve/kl")
    assert (entry.step, entry.value, entry.timestamp) == (30, 2.5, 5030)


def test_logging_the_same_point_again_after_a_crash_adds_nothing(store, run_id):
    for _ in range(2):
        TrainerRun(store.client(), run_id).log_metrics({"curve/kl": 2.5}, step=30)
    assert len(store.client().get_metric_history(run_id, "curve/kl")) == 1


def test_values_that_are_not_finite_are_left_out(store, run_id):
    metrics = {"curve/kl": 1.0, "curve/gold": math.nan, "forecast/peak_kl": math.inf}
    TrainerRun(store.client(), run_id).log_metrics(metrics, step=1)
    assert store.client().get_run(run_id).data.metrics == {"curve/kl": 1.0}


def test_a_run_that_its_trainer_has_closed_can_still_be_written_to(store, run_id, tmp_path):
    run, client = TrainerRun(store.client(), run_id), store.client()
    client.set_terminated(run_id, "FINISHED")
    (tmp_path / "points.csv").write_text("step,kl\n")
    run.log_artifact(tmp_path / "points.csv")
    run.introduce("grpo")
    run.set_tags({"mlproject.complete": "false"})
    left = client.get_run(run_id)
    assert left.info.status == "FINISHED"
    ours = {name: value for name, value in left.data.tags.items() if not name.startswith("mlflow.")}
    assert ours == {"mlproject.kind": "trainer-run", "mlproject.method": "grpo", "mlproject.complete": "false"}
    assert [item.path for item in client.list_artifacts(run_id)] == ["points.csv"]


LONG = "signs/test_rm." + "very long " * 40


@pytest.mark.parametrize("name", ["alarms/length > 1.5x", "alarms//a/", "signs/test_rm.模型 (8B)\ud800", LONG])
def test_names_that_mlflow_does_not_take_are_logged_under_keys_from_which_they_come_back(store, run_id, name):
    run = TrainerRun(store.client(), run_id)
    run.log_metrics({name: 1.5}, step=1)
    run.set_tags({name: "step 1: half a pair \ud800"})
    data = store.client().get_run(run_id).data
    names = {k.removeprefix("mlproject.full_name."): v for k, v in data.tags.items() if "full_name" in k}
    assert {original_name(key, names): value for key, value in data.metrics.items()} == {name: 1.5}
    assert data.tags[fit_key(name)] == "step 1: half a pair \\ud800"
    assert bool(names) == (name is LONG)
