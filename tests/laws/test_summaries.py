"""Pseudo-prompts have the logged means, errors and correlation, and carry no other information."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.laws import Forecast, Prior, points_from_summaries
from mlproject.laws.agreement import initial_agreement, log_likelihood
from mlproject.laws.posterior import LOG_D_L, rise

D = np.linspace(0, 3.5, 15)
GOLD = rise(D / 2.5, 1.0)
SE = np.linspace(0, 0.05, 15)


def points(count=15, **options):
    return points_from_summaries(range(count), D[:count] ** 2, GOLD[:count], SE[:count], **options)


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("prompts", [17, 256])
def test_mean_error_and_correlation_are_exactly_those_logged(correlation, prompts):
    curve = Curve.from_points(points(correlation=correlation, prompts=prompts))
    expected_SS = np.outer(SE, SE) * (correlation + (1 - correlation) * np.eye(15))
    np.testing.assert_allclose(curve.gold_S, GOLD, atol=1e-12)
    np.testing.assert_allclose(np.cov(curve.gold_SP) / prompts, expected_SS, atol=1e-12)
    assert [point.gold_se for point in curve] == pytest.approx(SE)
    np.testing.assert_allclose(curve.sqrt_kl_S, D)


def test_a_point_does_not_change_when_others_follow():
    for early, late in zip(points(4), points(15), strict=False):
        np.testing.assert_array_equal(early.gold_P, late.gold_P)


def test_the_proxy_is_uninformative():
    summarized = points(proxy_S=np.arange(15.0))
    assert [point.proxy for point in summarized] == pytest.approx(np.arange(15.0))
    assert np.isnan(initial_agreement("ppo", summarized))
    assert not log_likelihood("ppo", summarized, np.zeros_like(LOG_D_L)).any()


def test_the_forecast_from_summaries_is_close_to_that_from_prompts():
    rng = np.random.default_rng(0)
    per_prompt_SP = GOLD[:, None] + 0.5 * (
        np.sqrt(0.4) * rng.normal(size=256) + np.sqrt(0.6) * rng.normal(size=(15, 256))
    )
    whole = [point for point in Curve(np.arange(15), D**2, np.zeros((15, 256)), per_prompt_SP) if point.sqrt_kl < 2]
    summarized = points_from_summaries(
        [point.step for point in whole],
        [point.kl for point in whole],
        [point.gold for point in whole],
        [point.gold_se for point in whole],
    )
    predictions = []
    for run in (whole, summarized):
        forecast = Forecast("ppo", Prior.from_curves("ppo", {1000: [Curve.from_points(points())]}, 2000))
        predictions.append([forecast.update(point) for point in run][-1])
    assert predictions[1].peak_gold == pytest.approx(predictions[0].peak_gold, abs=0.03)
    assert predictions[1].peak_gold_interval == pytest.approx(predictions[0].peak_gold_interval, abs=0.06)
    assert predictions[1].gold_responses == predictions[0].gold_responses


@pytest.mark.parametrize(
    ("invalid", "message"),
    [
        ({"prompts": 16}, "at least 17"),
        ({"correlation": 1.1}, "between 0 and 1"),
        ({"gold_se_S": -SE}, "not negative"),
        ({"gold_S": GOLD * np.nan}, "finite"),
        ({"kl_S": D[:3]}, "must be equal"),
    ],
)
def test_invalid_summaries_are_refused(invalid, message):
    valid = {"steps": range(15), "kl_S": D**2, "gold_S": GOLD, "gold_se_S": SE}
    with pytest.raises(ValueError, match=message):
        points_from_summaries(**{**valid, **invalid})
