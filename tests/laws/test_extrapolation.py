"""Extrapolation: planted laws are predicted exactly, the naive baseline equals a hand calculation."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.laws import FORMS, LAST_VALUE, extrapolate

LAWS = [FORMS["best-of-n"], FORMS["rl"]]


@pytest.mark.parametrize(("name", "coef", "top"), [("best-of-n", [0.513, 0.12], 3.5), ("rl", [0.35, 0.147], 9.0)])
def test_a_law_predicts_its_own_curve_and_peak_from_the_first_third(name: str, coef: list, top: float) -> None:
    d = np.linspace(0.0, top, 2001)
    scores = extrapolate(d, FORMS[name].value(d, coef), cut=(top / 3) ** 2)
    assert scores[name].rmse < 1e-12
    assert scores[name].peak_kl_error == pytest.approx(0.0, abs=0.02)  # the grid's spacing
    assert scores[name].peak_gold_error == pytest.approx(0.0, abs=1e-5)
    rivals = [form.rmse for rival, form in scores.items() if rival not in (name, "power")]
    assert len(rivals) == len(FORMS) - 1
    assert min(rivals) > 0.01


def test_the_last_value_is_gold_at_the_largest_kl_before_the_cut_in_whatever_order() -> None:
    d = np.array([5.0, 1.0, 3.0, 2.0, 4.0])
    gold = np.array([0.2, 0.6, 1.0, 0.9, 0.5])
    scores = extrapolate(d, gold, cut=9.0, forms=LAWS)[LAST_VALUE]
    assert scores.rmse == pytest.approx(np.sqrt((0.8**2 + 0.5**2) / 2))  # beyond: .2 and .5 against 1.0
    assert np.isnan([scores.peak_kl_error, scores.peak_gold_error]).all()


def test_peak_errors_are_predicted_minus_measured() -> None:
    d = np.array([0.5, 1.0, 1.5, 2.0, 3.0])
    gold = np.array([*(d[:4] * (0.8 - 0.2 * d[:4])), 0.1])
    gold[3] += 0.05  # the law peaks at d = 2, KL 4, gold .8; measured: .85 there
    scores = extrapolate(d, gold, cut=1.5**2, forms=[FORMS["best-of-n"]])["best-of-n"]
    assert scores.peak_kl_error == pytest.approx(0.0, abs=1e-9)
    assert scores.peak_gold_error == pytest.approx(-0.05)
    assert scores.rmse == pytest.approx(np.sqrt((0.05**2 + (0.1 - 0.6) ** 2) / 2))


def test_a_peak_that_was_not_passed_has_no_error() -> None:
    d = np.linspace(0.1, 2.0, 20)
    scores = extrapolate(d, d * (0.8 - 0.1 * d), cut=1.0)  # would peak at d = 4
    assert all(np.isnan(form.peak_kl_error) for form in scores.values())
    assert scores["best-of-n"].rmse < 1e-12


@pytest.mark.parametrize(
    ("name", "coef", "peak_kl", "spread"),
    [("best-of-n", [0.513, 0.12], 4.57, [2.9, 1.2, 0.5]), ("rl", [0.35, 0.147], 15.8, [7.2, 4.1, 2.3])],
)
def test_the_peak_error_shrinks_as_more_of_the_way_is_measured(
    name: str, coef: list, peak_kl: float, spread: list[float]
) -> None:
    """Interquartile ranges from the first 25, 50 and 100 % of the way, noise .02."""
    rng = np.random.default_rng(0)
    beyond = np.linspace(np.sqrt(peak_kl), 2 * np.sqrt(peak_kl), 400)[1:]  # free of noise, so that the peak is there
    for share, expected in zip((0.25, 0.5, 0.9999), spread, strict=True):
        d_cut = np.sqrt(share * peak_kl)
        d = np.concatenate([np.linspace(0.3, d_cut, 20), np.linspace(d_cut, beyond[0], 400)[1:], beyond])
        gold = FORMS[name].value(d, coef)
        errors = []
        for _ in range(300):
            noisy = gold + np.concatenate([rng.normal(scale=0.02, size=20), np.zeros(len(d) - 20)])
            noisy[:20] = np.minimum(noisy[:20], gold.max() - 1e-9)  # the measured peak stays where it is
            errors.append(extrapolate(d, noisy, d_cut**2 * (1 + 1e-12), [FORMS[name]])[name].peak_kl_error)
        low, high = np.nanpercentile(errors, [25, 75])
        assert high - low == pytest.approx(expected, rel=0.5), share


def test_a_cut_with_no_point_beyond_or_too_few_before_is_refused() -> None:
    d = np.linspace(0.5, 2.0, 10)
    with pytest.raises(ValueError, match="beyond"):
        extrapolate(d, d, cut=4.0)
    with pytest.raises(ValueError, match="3"):
        extrapolate(d, d, cut=0.4)
