"""Fits: planted coefficients are recovered, and the right form wins on a toy whose form is known."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.estimators import best_of_n_kl_bound, n_grid
from mlproject.laws import FORMS, MIN_D, fit_form, rmse_by_form, score_forms


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if not form.with_exponent])
def test_planted_coefficients_are_recovered_exactly_without_noise(name: str) -> None:
    d = np.linspace(0.0, 3.2, 30)
    planted = np.array([0.6, 0.11])[: FORMS[name].columns(d).shape[-1]]
    law = fit_form(FORMS[name], d, FORMS[name].value(d, planted), min_d=MIN_D[name])
    assert law.alpha == pytest.approx(0.6, rel=1e-10)
    assert law.beta == pytest.approx(0.11 if len(planted) > 1 else 0.0, rel=1e-10)
    assert law.rmse == pytest.approx(0.0, abs=1e-12)
    assert law.r2 == pytest.approx(1.0)
    np.testing.assert_allclose(law.value(d), FORMS[name].value(d, planted), atol=1e-12)
    np.testing.assert_allclose(law.peak(), FORMS[name].peak(planted), rtol=1e-9)


@pytest.mark.parametrize(("alpha", "beta", "g"), [(0.6, 0.11, 1.37), (1.1, 0.2, 3.0), (2.0, 1.5, 0.21)])
def test_a_planted_exponent_is_recovered(alpha: float, beta: float, g: float) -> None:
    d = np.linspace(0.1, 3.2, 30)
    gold = d * (alpha - beta * d**g)
    law = fit_form(FORMS["power"], d, gold)
    assert float(law.form.formula.split("^")[1].rstrip(")")) == pytest.approx(g, rel=0.005)
    assert (law.alpha, law.beta) == (pytest.approx(alpha, rel=0.01), pytest.approx(beta, rel=0.02))
    assert law.rmse < 2e-4
    peak_d = (alpha / (beta * (1 + g))) ** (1 / g)
    assert law.peak() == (pytest.approx(peak_d**2, rel=0.01), pytest.approx(alpha * peak_d * g / (1 + g), rel=0.01))


def test_the_learned_exponent_is_the_best_of_a_dense_search() -> None:
    rng = np.random.default_rng(0)
    d = np.linspace(0.1, 3.0, 25)
    for _ in range(5):
        gold = d * (0.9 - 0.3 * d ** rng.uniform(0.2, 3.0)) + rng.normal(scale=0.05, size=25)
        searched = []
        for g in np.geomspace(1 / 16, 4, 2001):
            X = np.column_stack([d, d ** (1 + g)])
            searched.append(np.sqrt(np.linalg.lstsq(X, gold, rcond=None)[1][0] / 25))
        assert fit_form(FORMS["power"], d, gold).rmse < min(searched) * (1 + 1e-6)


def test_the_power_form_never_fits_worse_than_the_best_of_n_law_which_it_contains() -> None:
    rng = np.random.default_rng(1)
    d = np.linspace(0.1, 3.0, 20)
    for _ in range(20):
        gold = d * (0.5 - 0.1 * d) + rng.normal(scale=0.1, size=20)
        rmse = rmse_by_form([FORMS["best-of-n"], FORMS["power"]], d, gold)
        assert rmse["power"] <= rmse["best-of-n"] + 1e-12


def test_rmse_and_r2_are_those_of_the_normal_equations() -> None:
    rng = np.random.default_rng(0)
    d = np.linspace(0.1, 3.0, 12)
    gold = d * (0.5 - 0.1 * d) + rng.normal(scale=0.1, size=12)
    X = np.column_stack([d, -(d**2)])
    coef = np.linalg.solve(X.T @ X, X.T @ gold)
    residual = gold - X @ coef
    law = fit_form(FORMS["best-of-n"], d, gold)
    assert (law.alpha, law.beta) == (pytest.approx(coef[0]), pytest.approx(coef[1]))
    assert law.rmse == pytest.approx(np.sqrt(np.mean(residual**2)))
    assert law.r2 == pytest.approx(1 - np.mean(residual**2) / np.var(gold))


def test_points_near_the_origin_do_not_move_the_fit_of_the_rl_law() -> None:
    d = np.array([0.0, 0.1, 0.2, 0.3, 0.8, 1.5, 2.5, 4.0])
    gold = FORMS["rl"].value(d, [0.35, 0.15])
    gold[:4] = 7.0
    law = fit_form(FORMS["rl"], d, gold, min_d=MIN_D["rl"])
    assert (law.alpha, law.beta, law.points) == (pytest.approx(0.35), pytest.approx(0.15), 4)


@pytest.mark.parametrize("d", [[], [0.0, 1.0, 2.0], [1.0, 1.0, 1.0, 2.0]])
def test_fewer_than_three_distinct_points_are_refused(d: list[float]) -> None:
    with pytest.raises(ValueError, match="3"):
        fit_form(FORMS["best-of-n"], d, np.ones(len(d)))


def test_the_peak_of_a_fit_without_one_is_nan_and_never_infinite() -> None:
    d = np.linspace(0.5, 3.0, 10)
    assert np.isnan(fit_form(FORMS["best-of-n"], d, d + 0.1 * d**2).peak()).all()
    barely = fit_form(FORMS["rl"], d, FORMS["rl"].value(d, [0.5, 1e-4])).peak()
    assert np.isnan(barely).all()


def quadratic_toy() -> tuple[np.ndarray, np.ndarray]:
    """proxy x ~ N(0,1), gold = .5 x - .06 (x^2 - 1); the exact law of the maximum of n."""
    from math import erf

    x = np.linspace(-9.0, 9.0, 18_001)
    cdf = 0.5 * (1 + np.array([erf(value / np.sqrt(2)) for value in x]))
    gold_of_cell = 0.5 * x - 0.06 * (x**2 - 1)
    middle = (gold_of_cell[1:] + gold_of_cell[:-1]) / 2
    ns = n_grid(60_000, 60)[1:]
    gold = np.array([np.sum(np.diff(cdf**n) * middle) for n in ns])
    return np.sqrt(best_of_n_kl_bound(ns)), gold


def test_the_quadratic_toy_prefers_the_best_of_n_form() -> None:
    d, gold = quadratic_toy()
    rmse = rmse_by_form([form for form in FORMS.values() if form.dof <= 2], d, gold, min_d=0.0)
    assert min(rmse, key=lambda name: rmse[name]) == "best-of-n"
    assert rmse["best-of-n"] == pytest.approx(0.0019, abs=0.0006)
    assert rmse["rl"] == pytest.approx(0.027, abs=0.007)
    law = fit_form(FORMS["best-of-n"], d, gold)
    assert (law.alpha, law.beta) == (pytest.approx(0.695, abs=0.01), pytest.approx(0.110, abs=0.004))
    peak_kl, peak_gold = law.peak()
    assert (peak_kl, peak_gold) == (pytest.approx(9.7, abs=0.4), pytest.approx(1.097, abs=0.01))


def test_only_the_best_of_n_form_predicts_the_quadratic_toy_beyond_six_nats() -> None:
    d, gold = quadratic_toy()
    rmse = rmse_by_form([FORMS["best-of-n"], FORMS["rl"]], d, gold, min_d=0.0, max_d=np.sqrt(6.0))
    assert rmse["best-of-n"] < 0.016
    assert rmse["rl"] > 0.06


def test_the_logarithmic_law_is_recognised_on_its_own_curve() -> None:
    """RL data, 50 points even in KL up to 60; alternatives have RMSE .040 and .0096.

    The errors depend on the grid: points even in d instead give .055 and .017.
    """
    d = np.sqrt(np.linspace(60 / 50, 60, 50))
    rmse = rmse_by_form(FORMS.values(), d, FORMS["rl"].value(d, [0.35, 0.147]))
    assert rmse["rl"] < 1e-12
    assert rmse["best-of-n"] == pytest.approx(0.040, abs=0.002)
    assert rmse["log1p"] == pytest.approx(0.0096, abs=0.0005)


def test_forms_are_compared_on_identical_points() -> None:
    """The best-of-n form alone would use the point at d = 0.1; beside the RL form it must not."""
    d = np.array([0.1, 0.5, 1.0, 2.0, 3.0])
    gold = FORMS["best-of-n"].value(d, [0.5, 0.1])
    gold[0] = 9.0
    assert rmse_by_form([FORMS["best-of-n"], FORMS["rl"]], d, gold)["best-of-n"] < 1e-12
    assert rmse_by_form([FORMS["best-of-n"]], d, gold)["best-of-n"] > 1.0


def test_aic_charges_two_for_every_coefficient_and_ranks_by_the_likelihood_of_gaussian_errors() -> None:
    """-2 log likelihood at the best error variance is n log(RSS/n) + n (log 2 pi + 1), the last term common to all."""
    d, gold = quadratic_toy()
    for name, dof in {"linear": 1, "best-of-n": 2, "log1p": 2, "power": 3}.items():
        law = fit_form(FORMS[name], d, gold)
        error, n = gold - law.value(d), len(d)
        variance = np.mean(error**2)
        minus_two_log_likelihood = np.sum(error**2 / variance + np.log(2 * np.pi * variance))
        assert law.aic == pytest.approx(minus_two_log_likelihood - n * (np.log(2 * np.pi) + 1) + 2 * dof)
    assert fit_form(FORMS["linear"], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).aic == -np.inf


def test_form_scores_are_the_errors_of_two_separate_fits() -> None:
    d, gold = quadratic_toy()
    forms, cut = [FORMS["best-of-n"], FORMS["rl"], FORMS["power"]], np.sqrt(6.0)
    d, gold = d[d > 0.3], gold[d > 0.3]  # the largest MIN_D of the three
    for name, score in score_forms(forms, d, gold, cut).items():
        full, beginning = fit_form(FORMS[name], d, gold), fit_form(FORMS[name], d[d <= cut], gold[d <= cut])
        assert (score.rmse, score.aic) == (full.rmse, full.aic)
        beyond = gold[d > cut] - beginning.value(d[d > cut])
        assert score.held_out_rmse == pytest.approx(np.sqrt(np.mean(beyond**2)))


def test_a_comparison_beyond_the_last_point_is_refused() -> None:
    with pytest.raises(ValueError, match="max_d"):
        rmse_by_form([FORMS["linear"]], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], max_d=3.0)
