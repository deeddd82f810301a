"""A policy run on planted streams of points: what it logs, where it ends, and which tags say so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlproject.config.schema import load_config
from mlproject.curve import Curve, CurvePoint
from mlproject.errors import UserError
from mlproject.laws import Forecast, Prior
from mlproject.monitoring.metrics import forecast_metrics
from mlproject.names import Artifact
from mlproject.optimization import METHODS
from mlproject.optimization.stopping import StopDecision, StopRule
from mlproject.pipeline.policy_curve import draw_curve, load_prior, total_distance

PPO, BEST_OF_N = METHODS["ppo"], METHODS["best-of-n"]
SMOKE = load_config("smoke", {})
KL_S = np.linspace(0.0, 40.0, 41)


class FakeRun:
    """Keeps what a step function logs."""

    def __init__(self, folder: Path | None = None, rules: tuple[StopRule, ...] = (), **params: Any) -> None:
        self.params = SMOKE.of_method("best-of-n").params() | SMOKE.of_method("ppo").params() | params
        self.execution_options, self.stop_rules = {}, rules
        self.folder = folder or Path()
        self.metrics: dict[str, dict[int, float]] = {}
        self.tags: dict[str, str] = {}

    def input(self, role: str) -> Path:
        return self.folder

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        for name, value in metrics.items():
            if np.isfinite(value):
                self.metrics.setdefault(name, {})[step] = value

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.tags |= tags


def planted(repetition_S: np.ndarray | None = None) -> list[CurvePoint]:
    """Points of R(d) = d (1 - .45 log d), which peaks at 11.5 nats."""
    rng = np.random.default_rng(0)
    points = []
    for step, kl in enumerate(KL_S):
        d = float(np.sqrt(kl))
        gold_P = d * (1 - 0.45 * np.log(max(d, 1e-9))) + 0.3 * rng.normal(size=64)
        statistics = {} if repetition_S is None else {"repetition": float(repetition_S[step])}
        points.append(
            CurvePoint(step, float(kl), np.full(64, d), gold_P, statistics=statistics, diagnostics={"entropy": 1.0})
        )
    return points


def drawn(run: FakeRun, points: list[CurvePoint], **options: Any) -> tuple[list[int], int]:
    """Steps of the run's points, and how many were asked of the method."""
    asked: list[int] = []

    def stream() -> Iterator[CurvePoint]:
        for point in points:
            asked.append(point.step)
            yield point

    return [point.step for point in draw_curve(run, PPO, stream(), **options)], len(asked)  # type: ignore[arg-type]


def test_a_run_logs_the_forecast_of_its_points_and_stops_where_it_says_only_if_it_is_meant_to() -> None:
    points = planted()
    forecast = Forecast("ppo", None, 3)
    predictions = [forecast.update(point) for point in points]
    beyond = [p.step for p, ahead in zip(points, predictions, strict=True) if p.kl >= ahead.loses_beyond_kl]
    assert 3 < beyond[0] < 30, "the planted stream meets its stop"

    stopped = FakeRun(stop="forecast", eval_samples=3)
    steps, asked = drawn(stopped, points)
    assert steps == list(range(beyond[0] + 1)) and asked == len(steps)
    assert stopped.tags == {"mlproject.complete": "false", "forecast/stopped_at": str(beyond[0])}

    whole = FakeRun(stop="budget", eval_samples=3)
    assert drawn(whole, points) == (list(range(41)), 41) and not whole.tags
    for name in forecast_metrics(predictions[0]):
        expected = {p.step: forecast_metrics(a)[name] for p, a in zip(points, predictions, strict=True)}
        assert whole.metrics[name] == {step: value for step, value in expected.items() if np.isfinite(value)}
        assert stopped.metrics[name].items() <= whole.metrics[name].items()


def test_the_prior_of_other_curves_reaches_the_forecast() -> None:
    points, prior = planted(), Prior.from_curves("ppo", {100: [Curve.from_points(planted())]}, 100)
    run, forecast = FakeRun(stop="budget"), Forecast("ppo", prior)
    drawn(run, points[:2], prior=prior)
    expected = [forecast.update(point).peak_kl for point in points[:2]]
    assert run.metrics["forecast/peak_kl"] == dict(enumerate(expected))


def test_alarms_are_logged_and_stop_no_run() -> None:
    repetition_S = np.where(KL_S < 5, 0.1, 0.5)
    run = FakeRun(stop="budget")
    assert drawn(run, planted(repetition_S)) == (list(range(41)), 41) and not run.tags
    assert run.metrics["alarms/repetition"] == {step: float(step >= 5) for step in range(41)}
    assert run.metrics["alarms/distinct-2"] == dict.fromkeys(range(41), 0.0)
    past = run.metrics["forecast/p_past_peak"]
    beyond = run.metrics["forecast/loses_beyond_kl"]
    expected = {s: float(past.get(s, 0) >= 0.9 or KL_S[s] >= beyond.get(s, np.inf)) for s in range(41)}
    assert run.metrics["alarms/peak-behind"] == expected and 1.0 in expected.values()


def test_a_kl_budget_ends_a_run_where_it_is_passed_and_says_so() -> None:
    run = FakeRun(stop="kl-budget", kl_budget=7.5)
    assert drawn(run, planted()) == (list(range(9)), 9)
    assert run.tags == {"mlproject.complete": "false", "kl_budget.stopped_at": "8"}
    assert run.metrics["alarms/kl-budget"] == {step: float(step == 8) for step in range(9)}


def test_a_rule_from_outside_ends_a_run_with_its_verdict_and_is_not_asked_once_the_run_has_stopped() -> None:
    asked: list[int] = []

    def rule(point: CurvePoint) -> StopDecision | None:
        asked.append(point.step)
        return StopDecision("pruner", "cannot win", point.step, {"upper": 0.5, "best": 1.0}) if point.kl >= 3 else None

    run = FakeRun(stop="budget", rules=(rule,))
    assert drawn(run, planted()) == (list(range(4)), 4)
    assert run.tags == {
        "mlproject.complete": "false",
        "mlproject.verdict": "cannot win",
        "mlproject.verdict.upper": "0.5",
        "mlproject.verdict.best": "1.0",
    }
    asked.clear()
    drawn(FakeRun(stop="kl-budget", kl_budget=1.5, rules=(rule,)), planted())
    assert asked == [0, 1]


def test_best_of_n_logs_its_points_and_neither_forecast_nor_alarms() -> None:
    run = FakeRun()
    points = draw_curve(run, BEST_OF_N, planted()[:5])  # type: ignore[arg-type]
    assert [point.step for point in points] == list(range(5))
    assert run.metrics["best-of-n/entropy"] == dict.fromkeys(range(5), 1.0)
    assert {name.split("/")[0] for name in run.metrics} == {"curve", "best-of-n"}


def test_what_a_method_says_about_itself_is_logged_under_its_name() -> None:
    run = FakeRun(stop="budget")
    drawn(run, planted()[:3])
    assert run.metrics["ppo/entropy"] == dict.fromkeys(range(3), 1.0)
    assert {name.split("/")[0] for name in run.metrics} == {"curve", "ppo", "forecast", "alarms"}


def test_a_law_run_without_curves_of_this_rm_is_refused_in_one_line(tmp_path: Path) -> None:
    prior = Prior.from_curves("ppo", {100: [Curve.from_points(planted())]}, 100)
    (tmp_path / Artifact.PRIORS).write_text(json.dumps({"ppo": {"100": prior.to_dict()}}))
    run = FakeRun(tmp_path, forecast_prior="abc", rm_params=100)
    assert load_prior(run, PPO).to_dict() == prior.to_dict()  # type: ignore[arg-type, union-attr]
    assert load_prior(FakeRun(tmp_path), PPO) is None  # type: ignore[arg-type]
    run.params["rm_params"] = 200
    with pytest.raises(UserError, match="forecast_prior=abc: must hold a prior for ppo against an RM of 200"):
        load_prior(run, PPO)  # type: ignore[arg-type]


def test_distances_of_rounds_that_start_from_the_last_policy_add_up(tmp_path: Path) -> None:
    curve = Curve.from_points(planted()[:5])
    last = CurvePoint(4, 4.0, np.zeros(2), np.zeros(2), diagnostics={"round_kl": 2.25})
    assert total_distance(curve, last, None) == 2.0
    (tmp_path / Artifact.ROUND_DISTANCE).write_text("1.25")
    assert total_distance(curve, last, tmp_path) == 1.25 + 1.5
