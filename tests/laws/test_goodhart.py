"""Goodhart components: planted differences, gamma by hand, the Gaussian baseline by closed forms and quadrature."""

from __future__ import annotations

from math import asin, erf, exp, log, pi, sqrt

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.estimators import best_of_n_kl_bound, n_grid
from mlproject.laws import FORMS, decompose, gamma, gaussian_best_of_n

D = np.linspace(0.0, 3.0, 25)
BON, RL = FORMS["best-of-n"], FORMS["rl"]


def curve(rng: np.random.Generator, gold: list[float], proxy: list[float], prompts: int = 100) -> Curve:
    """Prompts differ in alpha, equally for proxy and gold, and gold has noise."""
    prompt_SP = D[:, None] * rng.normal(scale=0.4, size=prompts)
    gold_SP, proxy_SP = (BON.value(D[:, None], coef) + prompt_SP for coef in (gold, proxy))
    noise_SP = rng.normal(scale=0.2, size=(25, prompts))
    return Curve(np.arange(25), D**2, proxy_SP, gold_SP + noise_SP)


def test_intervals_hold_the_planted_parts_in_about_95_percent_of_curves() -> None:
    rng = np.random.default_rng(0)
    truth = {
        "regressional": 0.2,
        "extremal": 0.12,
        "extremal_excess": 0.1,
        "gamma": (0.2 * 9 / 2 + 0.1 * 9) / (0.5 * 9 / 2 - 0.12 * 9),  # areas up to d = 3
    }
    held = dict.fromkeys(truth, 0)
    for _ in range(200):
        parts = decompose(BON, curve(rng, [0.5, 0.12], [0.7, 0.02]), 200, rng)
        for name, value in truth.items():
            estimate = getattr(parts, name)
            assert estimate.low < estimate.value < estimate.high
            held[name] += estimate.low <= value <= estimate.high
    assert all(0.91 <= count / 200 <= 0.99 for count in held.values()), held


def test_proxy_and_gold_are_resampled_together_so_that_shared_noise_cancels() -> None:
    prompt_SP = D[:, None] * np.random.default_rng(1).normal(0.5, 0.4, size=50)
    shared = Curve(np.arange(25), D**2, prompt_SP + 0.3 * D[:, None], prompt_SP)
    parts = decompose(BON, shared, 100, np.random.default_rng(2))
    assert parts.regressional == (pytest.approx(0.3), pytest.approx(0.3), pytest.approx(0.3))
    assert parts.extremal_excess == (pytest.approx(0, abs=1e-12),) * 3


def test_a_proxy_that_is_gold_has_no_goodhart() -> None:
    same = curve(np.random.default_rng(3), [0.5, 0.0], [0.5, 0.0])
    parts = decompose(RL, Curve(same.steps_S, same.kl_S, same.gold_SP, same.gold_SP), 50, np.random.default_rng(4), 0.3)
    for part in (parts.regressional, parts.extremal_excess, parts.gamma):
        assert part == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["linear", "power"])
def test_forms_without_one_beta_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="alpha and beta alone"):
        decompose(FORMS[name], curve(np.random.default_rng(5), [0.5, 0.1], [0.7, 0.0]), 10, np.random.default_rng(6))


def test_gamma_is_the_ratio_of_the_areas_also_where_the_laws_cross() -> None:
    """Gold d (.5 - .1 d), proxy d (.4 - .02 d): they cross at d = 1.25; areas by the antiderivative, up to 3."""

    def area(a: float, b: float, low: float, high: float) -> float:
        return a * (high**2 - low**2) / 2 - b * (high**3 - low**3) / 3

    between = area(0.1, 0.08, 0.0, 1.25) - area(0.1, 0.08, 1.25, 3.0)
    assert gamma(BON, [0.5, 0.1], [0.4, 0.02], 3.0) == pytest.approx(between / area(0.5, 0.1, 0.0, 3.0), rel=1e-5)


def test_gamma_of_the_rl_law_is_the_ratio_of_its_areas() -> None:
    """The integral of d log d up to k is k^2 (log k / 2 - 1/4); the laws cross where .3 + .2 log d = 0."""

    def area(a: float, b: float, k: float) -> float:
        return a * k**2 / 2 - b * k**2 * (log(k) / 2 - 0.25)

    between = area(0.3, -0.2, 4.0) - 2 * area(0.3, -0.2, exp(-1.5))
    expected = between / area(0.6, 0.25, 4.0)
    assert gamma(RL, [0.6, 0.25], [0.9, 0.05], 4.0) == pytest.approx(expected, rel=1e-5)


def test_gamma_is_nan_and_never_infinite_if_gold_loses_as_much_as_it_gains() -> None:
    """The area under d (a - b d) is 0 again at 3 a / 2 b, here d = 3."""
    coef_WA = np.array([[0.4, 0.2], [0.4, 0.21], [-0.1, 0.0], [0.4, 0.19]])
    gamma_W = gamma(BON, coef_WA, [0.6, 0.0], 3.001)
    assert np.isnan(gamma_W).tolist() == [True, True, True, False]
    assert gamma_W[3] > 1


def test_the_gaussian_baseline_equals_the_closed_forms_of_the_normal_maximum() -> None:
    """n = 2 to 5: David and Nagaraja 2003, Order Statistics, section 3.2."""
    bend = asin(1 / 3) / (2 * pi)
    exact = [0, 1 / sqrt(pi), 1.5 / sqrt(pi), 6 / sqrt(pi) * (0.25 + bend), 5 / sqrt(pi) * (0.25 + 3 * bend)]
    np.testing.assert_allclose(gaussian_best_of_n(1.0, [1, 2, 3, 4, 5]), exact, atol=1e-14)
    np.testing.assert_allclose(gaussian_best_of_n(0.3, [[2], [3]]), [[0.3 * exact[1]], [0.3 * exact[2]]])


@pytest.mark.parametrize("n", [10, 1000, 60_000, 10**9, 10**12])
def test_the_gaussian_baseline_equals_the_integral_of_the_tails(n: int) -> None:
    """E[max] = integral over x > 0 of 1 - F(x)^n, less that over x < 0 of F(x)^n; Gauss and Legendre's rule."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    x = 7 * (nodes + 1)
    upper = np.array([(1 - erf(value / sqrt(2))) / 2 for value in x]) if n < 10**6 else upper_tail(x)
    expected = 7 * weights @ -np.expm1(n * np.log1p(-upper)) - 7 * weights @ upper**n
    assert gaussian_best_of_n(1.0, n) == pytest.approx(expected, rel=1e-9)


def upper_tail(x: np.ndarray) -> np.ndarray:
    """1 - F(x) without cancellation, by the continued fraction of Laplace; for small x by symmetry with erf."""
    fraction = np.zeros_like(x)
    for k in range(400, 0, -1):
        fraction = k / (x + fraction)
    far = np.exp(-(x**2) / 2) / sqrt(2 * pi) / (x + fraction)
    return np.where(x > 2, far, [(1 - erf(value / sqrt(2))) / 2 for value in x])


def test_the_gaussian_baseline_is_the_published_table() -> None:
    """Columns: n, d = sqrt(KL), E[max]."""
    n = np.array([2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 4096, 12_500, 60_000])
    d = [0.44, 0.80, 1.10, 1.36, 1.58, 1.78, 1.97, 2.13, 2.29, 2.43, 2.71, 2.90, 3.16]
    highest = [0.56, 1.03, 1.42, 1.77, 2.07, 2.34, 2.60, 2.83, 3.04, 3.24, 3.63, 3.91, 4.27]
    np.testing.assert_allclose(np.sqrt(best_of_n_kl_bound(n)), d, atol=0.011)
    np.testing.assert_allclose(gaussian_best_of_n(1.0, n), highest, atol=0.011)


def test_a_gaussian_proxy_gives_a_line_in_d_without_a_peak() -> None:
    n = n_grid(60_000, 60)[1:]
    gold, d = gaussian_best_of_n(0.6, n), np.sqrt(best_of_n_kl_bound(n))
    assert (np.diff(gold) > 0).all()
    assert np.all((gold / (0.6 * d) > 1.27) & (gold / (0.6 * d) < 1.36))
