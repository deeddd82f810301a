"""Bootstrap intervals over prompts equal those of resampling and refitting one by one. Coverage: test_planted.py."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.laws import FORMS, bootstrap_fit, fit_form
from mlproject.laws.bootstrap import interval_95, resampled_means
from mlproject.laws.intervals import t_975

ALPHA, BETA, PROMPTS = 0.55, 0.12, 150
D = np.linspace(0.0, 3.0, 25)


def simulated(rng: np.random.Generator) -> Curve:
    """A curve whose prompts differ in alpha and beta, so that the errors of its points are correlated."""
    alpha_P = ALPHA + rng.normal(scale=0.5, size=PROMPTS)
    beta_P = BETA + rng.normal(scale=0.15, size=PROMPTS)
    gold_SP = D[:, None] * (alpha_P - beta_P * D[:, None]) + rng.normal(scale=0.3, size=(len(D), PROMPTS))
    return Curve(np.arange(len(D)), D**2, gold_SP, gold_SP)


def test_the_intervals_equal_those_of_resampling_and_refitting_one_by_one() -> None:
    curve, form = simulated(np.random.default_rng(1)), FORMS["rl"]
    interval = bootstrap_fit(form, curve, 50, np.random.default_rng(2), min_d=0.3)
    counts_WP = np.random.default_rng(2).multinomial(PROMPTS, np.full(PROMPTS, 1 / PROMPTS), size=50)
    fits = []
    stretch = sqrt(150 / 149) * 1.976013 / 1.959964  # Student's t of 149 degrees of freedom over the normal
    for counts_P in counts_WP:
        resampled_SP = np.repeat(curve.gold_SP, counts_P, axis=1)
        moved_S = stretch * (resampled_SP.mean(axis=1) - curve.gold_S)
        fits.append(fit_form(form, D, curve.gold_S + moved_S, min_d=0.3))

    def outer(values: list[float]) -> list[float]:
        """Ranks 51 * .025 = 1.275 and 51 * .975 = 49.725 of 50."""
        v = np.sort(values)
        return [v[0] + 0.275 * (v[1] - v[0]), v[49] - 0.275 * (v[49] - v[48])]

    np.testing.assert_allclose(interval.alpha, outer([law.alpha for law in fits]), rtol=1e-5)
    np.testing.assert_allclose(interval.beta, outer([law.beta for law in fits]), rtol=1e-5)
    peaks = np.array([law.peak() for law in fits])
    assert interval.peak_share == np.isfinite(peaks[:, 0]).mean()
    assert interval.peak_share == 1.0
    np.testing.assert_allclose(interval.peak_kl, outer(peaks[:, 0]), rtol=1e-4)
    np.testing.assert_allclose(interval.peak_gold, outer(peaks[:, 1]), rtol=1e-5)


@pytest.mark.parametrize("prompts", [3, 10, 48])
def test_resampled_means_of_gaussian_prompts_spread_as_students_t_interval_is_wide(prompts: int) -> None:
    scores_SP = np.random.default_rng(8).normal(size=(1, prompts))
    se = scores_SP.std(ddof=1) / np.sqrt(prompts)
    means_W = resampled_means(scores_SP, 40_000, np.random.default_rng(9))[:, 0]
    assert means_W.std() * 1.95996 == pytest.approx(t_975(prompts - 1) * se, rel=0.02)
    assert means_W.mean() == pytest.approx(scores_SP.mean(), abs=5 * means_W.std() / 200)


def test_a_single_prompt_has_nan_intervals() -> None:
    single = bootstrap_fit(
        FORMS["best-of-n"], Curve(np.arange(25), D**2, D[:, None], D[:, None]), 50, np.random.default_rng()
    )
    assert np.isnan([*single.alpha, *single.beta, *single.peak_kl]).all()


def test_percentiles_leave_out_two_and_a_half_percent_on_average_however_few_the_resamples() -> None:
    draws = np.random.default_rng(10).uniform(size=(4000, 60))
    low, high = np.mean([interval_95(draw_W) for draw_W in draws], axis=0)
    assert (low, high) == (pytest.approx(0.025, abs=0.001), pytest.approx(0.975, abs=0.001))


def test_a_family_is_bootstrapped_with_the_member_that_fits_the_whole_curve_best() -> None:
    curve = simulated(np.random.default_rng(11))
    interval = bootstrap_fit(FORMS["power"], curve, 100, np.random.default_rng(12))
    member = fit_form(FORMS["power"], D, curve.gold_S).form
    assert interval.form.formula == member.formula
    assert interval == replace(bootstrap_fit(member, curve, 100, np.random.default_rng(12)), form=interval.form)


def test_a_curve_without_a_bend_has_resamples_without_a_peak() -> None:
    rng = np.random.default_rng(0)
    beta_P = np.repeat([0.1, -0.1], PROMPTS // 2)  # bends that cancel: which way a resample bends is a toss-up
    gold_SP = D[:, None] * (0.5 - beta_P * D[:, None])
    half = bootstrap_fit(FORMS["best-of-n"], Curve(np.arange(len(D)), D**2, gold_SP, gold_SP), 400, rng)
    assert 0.4 < half.peak_share < 0.6
    assert np.isfinite(half.peak_kl).all()
    rising_SP = (D + 0.2 * D**2)[:, None] + np.zeros(PROMPTS)
    none = bootstrap_fit(FORMS["best-of-n"], Curve(np.arange(len(D)), D**2, rising_SP, rising_SP), 20, rng)
    assert none.peak_share == 0.0
    assert np.isnan(none.peak_kl).all()
    assert np.isnan(none.peak_gold).all()


def test_a_straight_line_gets_an_interval_of_alpha_alone() -> None:
    line = bootstrap_fit(FORMS["linear"], simulated(np.random.default_rng(3)), 100, np.random.default_rng(4))
    assert line.alpha[0] < line.alpha[1]
    assert line.beta == (0.0, 0.0)
    assert line.peak_share == 0.0


def test_intervals_are_repeatable_from_the_generator_alone() -> None:
    curve = simulated(np.random.default_rng(5))
    first, second, other = (bootstrap_fit(FORMS["best-of-n"], curve, 50, np.random.default_rng(s)) for s in (6, 6, 7))
    assert first == second
    assert first != other
