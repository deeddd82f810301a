"""One curve has one forecast, whoever is asked: the monitor, a policy run, `fit` on a log or on a run, the report."""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow import MlflowClient

from mlproject.config.schema import load_config
from mlproject.curve import Curve, CurvePoint
from mlproject.integrations.reading_log import ReadingLog
from mlproject.laws import Prediction, forecast_of
from mlproject.monitoring.metrics import forecast_metrics, logged_prediction
from mlproject.monitoring.monitor import OveroptimizationMonitor
from mlproject.names import Artifact
from mlproject.optimization import METHODS
from mlproject.pipeline.policy_curve import draw_curve
from mlproject.recommendation.words import forecast_text
from mlproject.report.fit import MEANS_ONLY, FitRequest, analyse
from mlproject.report.page import render
from mlproject.report.recommended import evidence_of_report
from mlproject.report.records import PolicyRunRecord, Report

PPO = METHODS["ppo"]


def wandering() -> list[CurvePoint]:
    """A run whose KL does not always grow, with a proxy that departs from gold, and scores of 48 prompts."""
    rng = np.random.default_rng(5)
    kl_S = np.maximum(np.linspace(0, 4, 22) + 0.6 * np.sin(np.arange(22) + 1), 0.0)
    kl_S[0] = 0.0
    talent_P = rng.normal(size=48)
    points = []
    for step, kl in enumerate(kl_S):
        d, agreement = np.sqrt(kl), max(1 - kl / 9, 0.0)
        noise_P = talent_P * agreement + rng.normal(size=48) * 0.4
        gold_P = d * (0.9 - 0.25 * d) + 0.3 * min(d, 1.0) * noise_P
        points.append(CurvePoint(5 * step, float(kl), 0.8 * d + 0.3 * min(d, 1.0) * talent_P, gold_P))
    return points


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    """What the monitor says after the last point."""
    monitor = OveroptimizationMonitor()
    return [monitor.update(point).prediction for point in wandering()][-1]


def test_the_monitor_and_a_policy_run_say_the_same(prediction) -> None:
    logged: dict[str, dict[int, float]] = defaultdict(dict)

    def log_metrics(metrics, step):
        for name, value in metrics.items():
            logged[name][step] = value

    options = load_config("smoke", {"eval_samples": "1"}).of_method("ppo").params()
    run = SimpleNamespace(params=options, stop_rules=(), log_metrics=log_metrics, set_tags=lambda tags: None)
    draw_curve(run, PPO, wandering())  # type: ignore[arg-type]
    for name, value in forecast_metrics(prediction).items():
        assert logged[name][105] == value


def test_fit_on_the_table_of_the_callback_says_what_the_callback_said(prediction, tmp_path) -> None:
    monitor = OveroptimizationMonitor()
    for point in wandering():
        monitor.update(point)
    ReadingLog(monitor, tmp_path, None).save_points()
    logged = FitRequest(str(tmp_path / Artifact.TRAINER_TABLE), "", "ppo").load()
    assert logged.has_prompts and "every prompt's own scores" in logged.read_as
    analysis = analyse(logged, "ppo")
    assert analysis.prediction == prediction
    assert f"P(past peak) = {prediction.p_past_peak:.2f}" in analysis.lines()[-1]
    assert monitor.readings[-1].line().endswith(f"P(past peak) = {prediction.p_past_peak:.2f} (from a weak prior)")

    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(tmp_path / Artifact.TRAINER_TABLE, alone)
    without = FitRequest(str(alone / Artifact.TRAINER_TABLE), "", "ppo").load()
    assert not without.has_prompts and analyse(without, "ppo").lines()[-1].endswith(MEANS_ONLY)


def test_scores_of_another_run_beside_a_table_are_not_taken_for_its_own(tmp_path) -> None:
    monitor = OveroptimizationMonitor()
    for point in wandering():
        monitor.update(point)
    ReadingLog(monitor, tmp_path, None).save_points()
    others = [replace(point, gold_P=point.gold_P * (1 + 0.01 * point.kl)) for point in wandering()]
    Curve.from_points(others).save(tmp_path / "overoptimization" / Artifact.CURVE)
    assert not FitRequest(str(tmp_path / Artifact.TRAINER_TABLE), "", "ppo").load().has_prompts


def test_fit_on_a_run_of_the_store_says_what_the_run_logged(prediction, tmp_path, monkeypatch, empty_database) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    run_id = client.create_run(
        client.create_experiment("theirs", artifact_location=str(tmp_path / "files"))
    ).info.run_id
    monitor = OveroptimizationMonitor()
    for point in wandering():
        for name, value in monitor.metrics(monitor.update(point)).items():
            if np.isfinite(value):
                client.log_metric(run_id, name, value, step=point.step)
    monitor.curve().save(tmp_path / Artifact.CURVE)
    client.log_artifact(run_id, str(tmp_path / Artifact.CURVE))
    logged = FitRequest(run_id, "", "ppo").load(client)
    assert logged.has_prompts and analyse(logged, "ppo").prediction == prediction
    assert client.get_run(run_id).data.metrics["forecast/p_past_peak"] == pytest.approx(prediction.p_past_peak)


def test_the_last_point_of_a_forecast_is_the_last_in_time_and_not_the_farthest(prediction) -> None:
    by_kl = sorted(wandering(), key=lambda point: point.kl)
    assert by_kl[-1].step != wandering()[-1].step
    assert forecast_of(PPO, by_kl) == prediction


def test_the_report_says_what_the_run_logged(prediction) -> None:
    curve = Curve.from_points(wandering())
    run = PolicyRunRecord("a", "ppo", "3k", 3328, 0, 0.0, curve, {}, [])
    report = Report("A study", {}, [], [run], {})
    [figure] = [each for each in evidence_of_report(report) if each.name == "forecast"]
    assert figure.values is not None and figure.text == forecast_text("ppo", prediction)
    assert figure.values["p_past_peak"] == prediction.p_past_peak
    assert figure.values["peak_kl"] == prediction.peak_kl and figure.values["prior"] == "a weak prior"
    page = " ".join(render(report, {}).split())
    assert f"P(past peak) = {prediction.p_past_peak:.2f}" in page
    assert logged_prediction(forecast_metrics(prediction), len(curve), has_prior=False) == prediction
