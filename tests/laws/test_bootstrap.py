"""Intervals by the bootstrap over prompts: coverage, and the same answer as resampling the long way."""

from __future__ import annotations

import numpy as np

from mlproject.curve import Curve
from mlproject.laws import FORMS, bootstrap_fit, fit

ALPHA, BETA, PROMPTS = 0.55, 0.12, 150
D = np.linspace(0.0, 3.0, 25)


def simulated(rng: np.random.Generator) -> Curve:
    """A curve with prompts of their own alpha and beta, so the errors of all points move together."""
    alpha_P = ALPHA + rng.normal(scale=0.5, size=PROMPTS)
    beta_P = BETA + rng.normal(scale=0.15, size=PROMPTS)
    gold_SP = D[:, None] * (alpha_P - beta_P * D[:, None]) + rng.normal(scale=0.3, size=(len(D), PROMPTS))
    return Curve(np.arange(len(D)), D**2, gold_SP, gold_SP)


def test_intervals_hold_the_planted_values_in_about_95_percent_of_curves() -> None:
    rng = np.random.default_rng(0)
    form = FORMS["best-of-n"]
    peak_kl, peak_gold = form.peak([ALPHA, BETA])
    truth = {"alpha": ALPHA, "beta": BETA, "peak_kl": float(peak_kl), "peak_gold": float(peak_gold)}
    held = dict.fromkeys(truth, 0)
    for _ in range(200):
        interval = bootstrap_fit(form, simulated(rng), 300, rng)
        for name, value in truth.items():
            low, high = getattr(interval, name)
            held[name] += low <= value <= high
    for name, count in held.items():
        assert 0.88 <= count / 200 <= 0.99, (name, count)


def test_the_intervals_equal_those_of_resampling_and_refitting_one_by_one() -> None:
    curve, form = simulated(np.random.default_rng(1)), FORMS["rl"]
    interval = bootstrap_fit(form, curve, 50, np.random.default_rng(2), min_d=0.3)
    counts_BP = np.random.default_rng(2).multinomial(PROMPTS, np.full(PROMPTS, 1 / PROMPTS), size=50)
    fits = []
    for counts_P in counts_BP:
        resampled_SP = np.repeat(curve.gold_SP, counts_P, axis=1)
        fits.append(fit(form, D, resampled_SP.mean(axis=1), min_d=0.3))
    np.testing.assert_allclose(interval.alpha, np.percentile([law.alpha for law in fits], [2.5, 97.5]))
    np.testing.assert_allclose(interval.beta, np.percentile([law.beta for law in fits], [2.5, 97.5]))
    peaks = np.array([law.peak() for law in fits])
    assert interval.peak_share == np.isfinite(peaks[:, 0]).mean()
    np.testing.assert_allclose(interval.peak_kl, np.nanpercentile(peaks[:, 0], [2.5, 97.5]))
    np.testing.assert_allclose(interval.peak_gold, np.nanpercentile(peaks[:, 1], [2.5, 97.5]))


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
