"""Metrics of points, forecasts and curves: every name with its own value, and nothing that is not known."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.curve import Curve, CurvePoint
from mlproject.laws import Prediction
from mlproject.monitoring.metrics import forecast_metrics, point_metrics, summaries

D_S = np.linspace(0, 4, 21)


def peaked_curve(noise: float = 0.0) -> Curve:
    """R(d) = d (1 - .45 log d) on the prompts, with scores that differ among them."""
    gold_S = D_S * (1 - 0.45 * np.log(np.maximum(D_S, 1e-9)))
    offset_P = np.linspace(-0.5, 0.5, 10)
    gold_SP = gold_S[:, None] + offset_P + noise * np.random.default_rng(0).normal(size=(21, 10))
    return Curve(np.arange(0, 42, 2), D_S**2, gold_SP, gold_SP)


def test_a_point_is_logged_with_its_statistics_and_what_its_method_says_of_itself() -> None:
    proxy_P, gold_P, human_P = np.array([1.0, 2.0, 6.0]), np.array([0.0, 1.0, 2.0]), np.array([-1.0, 0.0, 4.0])
    point = CurvePoint(3, 2.25, proxy_P, gold_P, human_P, {"length": 12.0}, {"entropy": 0.5})
    assert point_metrics(point, "ppo") == {
        "curve/kl": 2.25,
        "curve/sqrt_kl": 1.5,
        "curve/proxy": 3.0,
        "curve/proxy_se": pytest.approx(np.std(proxy_P, ddof=1) / np.sqrt(3)),
        "curve/gold": 1.0,
        "curve/gold_se": pytest.approx(1 / np.sqrt(3)),
        "curve/human": 1.0,
        "signs/length": 12.0,
        "ppo/entropy": 0.5,
    }
    without_human = CurvePoint(3, 2.25, proxy_P, gold_P)
    assert "curve/human" not in point_metrics(without_human, "ppo")


def test_every_number_of_a_forecast_is_logged_under_its_own_name() -> None:
    prediction = Prediction(3.0, (2.0, 5.0), 1.5, (1.0, 2.0), 0.25, 4.0, 640, 5, p_fit=0.4)
    assert forecast_metrics(prediction) == {
        "forecast/peak_kl": 3.0,
        "forecast/peak_kl_low": 2.0,
        "forecast/peak_kl_high": 5.0,
        "forecast/peak_gold": 1.5,
        "forecast/peak_gold_low": 1.0,
        "forecast/peak_gold_high": 2.0,
        "forecast/p_past_peak": 0.25,
        "forecast/loses_beyond_kl": 4.0,
        "forecast/gold_responses": 640,
        "forecast/lack_of_fit_p": 0.4,
    }


def test_a_curve_is_summed_up_by_its_peak_its_drop_and_the_law_it_was_drawn_from() -> None:
    metrics = summaries(peaked_curve(), "ppo")
    peak_d = np.exp(1 / 0.45 - 1)
    assert metrics["law/alpha"] == pytest.approx(1.0) and metrics["law/beta"] == pytest.approx(0.45)
    assert metrics["law/peak_kl"] == pytest.approx(peak_d**2) and metrics["law/peak_gold"] == pytest.approx(
        0.45 * peak_d
    )
    nearest = int(np.argmin(np.abs(D_S - peak_d)))
    assert metrics["peak/step"] == 2 * nearest and metrics["peak/kl"] == pytest.approx(D_S[nearest] ** 2)
    end = 4 * (1 - 0.45 * np.log(4))
    assert metrics["drop/gold"] == pytest.approx(metrics["peak/gold"] - end) and metrics["drop/gold"] > 0
    assert metrics["drop/gold_se"] == pytest.approx(0.0, abs=1e-12), "every prompt loses the same"


def test_a_curve_too_short_for_a_law_has_a_peak_and_no_law() -> None:
    whole = peaked_curve(noise=0.1)
    short = Curve(whole.steps_S[:2], whole.kl_S[:2], whole.proxy_SP[:2], whole.gold_SP[:2])
    metrics = summaries(short, "ppo")
    assert metrics["peak/kl"] in short.kl_S and not [name for name in metrics if name.startswith("law/")]
