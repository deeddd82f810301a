"""What is read back from runs: metrics by step, curves, and the law run that a user names."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.errors import UserError
from mlproject.tracking.run_data import artifact, curve_of, resolve_law, values_by_step

LAW = {"mlproject.kind": "law"}


def test_a_metric_is_read_back_by_step(store, leave_run):
    run_id, client = leave_run("metrics"), store.client()
    for step, value in ((0, 0.5), (2, 1.5), (5, -1.0)):
        client.log_metric(run_id, "curve/gold", value, step=step)
    assert values_by_step(client, run_id, "curve/gold") == {0: 0.5, 2: 1.5, 5: -1.0}
    assert values_by_step(client, run_id, "curve/human") == {}


def test_artifacts_and_curves_are_read_back(store, leave_run, tmp_path):
    run_id, client = leave_run("artifacts"), store.client()
    curve = Curve(np.array([1, 2]), np.array([0.0, 1.0]), np.ones((2, 3)), np.arange(6.0).reshape(2, 3))
    curve.save(tmp_path / "curve.npz")
    client.log_artifact(run_id, str(tmp_path / "curve.npz"))
    client.log_text(run_id, "text", "notes.txt")
    assert artifact(client, run_id, "notes.txt").read_text() == "text"
    read = curve_of(client, run_id)
    np.testing.assert_array_equal(read.gold_SP, curve.gold_SP)
    np.testing.assert_array_equal(read.kl_S, curve.kl_S)


def test_the_latest_law_is_the_newest_one_that_is_finished(store, leave_run):
    with pytest.raises(
        UserError, match=r"forecast_prior=latest: this store has no finished law run\. Run `main` first\."
    ):
        resolve_law(store.client(), store, "latest")
    older = leave_run("law 1", tags=LAW, start_time=1000)
    newest = leave_run("law 2", tags=LAW, start_time=2000)
    leave_run("law 3", "FAILED", tags=LAW, start_time=3000)
    leave_run("laws of a table, which know no sizes", tags={**LAW, "mlproject.gold": "column"}, start_time=4000)
    assert resolve_law(store.client(), store, "latest").info.run_id == newest
    assert resolve_law(store.client(), store, older).info.run_id == older


@pytest.mark.parametrize(
    ("tags", "status", "words"),
    [
        (LAW, "FAILED", "is a law run that is FAILED"),
        ({"mlproject.kind": "policy-run"}, "FINISHED", "is a policy-run run that is FINISHED"),
        ({}, "FINISHED", "is a foreign run"),
    ],
)
def test_a_run_that_is_no_finished_law_is_refused(tags, status, words, store, leave_run):
    run_id = leave_run("no law", status, tags=tags)
    with pytest.raises(UserError, match=f"forecast_prior={run_id}: must be a finished law run, {words}"):
        resolve_law(store.client(), store, run_id)


def test_a_law_that_does_not_exist_is_refused_in_one_line(store):
    with pytest.raises(UserError, match="forecast_prior=nowhere: must be the run id of a law run") as refused:
        resolve_law(store.client(), store, "nowhere")
    assert "\n" not in str(refused.value)
