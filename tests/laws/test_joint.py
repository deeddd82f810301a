"""Joint fits: free alphas are fits made apart, a shared one is that of the algebra, and AIC tells which is true."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.laws import FORMS, fit, joint_fit

D = [np.linspace(0.1, 3.0, 20), np.linspace(0.1, 5.0, 31), np.linspace(0.2, 4.0, 13), np.linspace(0.4, 6.0, 25)]
BETAS = np.array([0.30, 0.22, 0.17, 0.12])


def curves(rng: np.random.Generator, alphas: np.ndarray, noise: float) -> list[tuple[np.ndarray, np.ndarray]]:
    golds = [FORMS["rl"].value(d, [a, b]) for d, a, b in zip(D, alphas, BETAS, strict=True)]
    return [(d, gold + rng.normal(scale=noise, size=len(d))) for d, gold in zip(D, golds, strict=True)]


def test_a_planted_common_alpha_and_its_betas_come_back() -> None:
    found = joint_fit(FORMS["rl"], curves(np.random.default_rng(0), np.full(4, 0.4), 0.0), True, min_d=0.3)
    np.testing.assert_allclose(found.alpha_G, np.full(4, 0.4))
    np.testing.assert_allclose(found.beta_G, BETAS)
    assert found.rmse < 1e-12


def test_with_free_alphas_the_curves_are_fitted_apart() -> None:
    given = curves(np.random.default_rng(1), np.array([0.3, 0.4, 0.5, 0.6]), 0.05)
    found = joint_fit(FORMS["rl"], given, False, min_d=0.3)
    alone = [fit(FORMS["rl"], d, gold, min_d=0.3) for d, gold in given]
    np.testing.assert_allclose(found.alpha_G, [law.alpha for law in alone])
    np.testing.assert_allclose(found.beta_G, [law.beta for law in alone])
    points = np.array([law.points for law in alone])
    rss = np.sum([law.points * law.rmse**2 for law in alone])
    assert found.rmse == pytest.approx(np.sqrt(rss / points.sum()))
    assert found.aic == pytest.approx(points.sum() * np.log(rss / points.sum()) + 2 * 8)


def test_a_shared_alpha_is_the_slope_once_every_curves_bend_is_taken_out() -> None:
    """Frisch, Waugh and Lovell: regress what the bends leave of gold on what they leave of the rise."""
    given = curves(np.random.default_rng(2), np.array([0.3, 0.4, 0.5, 0.6]), 0.05)
    left_rise, left_gold = [], []
    for d, gold in given:
        bend = d * np.log(d)
        left_rise.append(d - bend * (bend @ d) / (bend @ bend))
        left_gold.append(gold - bend * (bend @ gold) / (bend @ bend))
    rise, gold = np.concatenate(left_rise), np.concatenate(left_gold)
    alpha = (rise @ gold) / (rise @ rise)
    found = joint_fit(FORMS["rl"], given, True)
    np.testing.assert_allclose(found.alpha_G, np.full(4, alpha))
    rss = np.sum((gold - alpha * rise) ** 2)
    assert found.rmse == pytest.approx(np.sqrt(rss / len(gold)))
    assert found.aic == pytest.approx(len(gold) * np.log(rss / len(gold)) + 2 * 5)


def test_aic_shares_a_common_alpha_as_often_as_chi_square_says_and_never_four_different_ones() -> None:
    """Free alphas win where twice the log likelihood gains more than 6, with 3 degrees of freedom: 11.2 %."""
    rng = np.random.default_rng(3)
    for alphas, expected in ((np.full(4, 0.4), 0.888), (np.array([0.3, 0.4, 0.5, 0.6]), 0.0)):
        shared = 0
        for _ in range(500):
            given = curves(rng, alphas, 0.03)
            shared += joint_fit(FORMS["rl"], given, True).aic < joint_fit(FORMS["rl"], given, False).aic
        assert shared / 500 == pytest.approx(expected, abs=0.045)


def test_forms_without_one_beta_and_curves_too_short_are_refused() -> None:
    given = curves(np.random.default_rng(4), np.full(4, 0.4), 0.0)
    for name in ("linear", "power"):
        with pytest.raises(ValueError, match="alpha and beta alone"):
            joint_fit(FORMS[name], given, True)
    with pytest.raises(ValueError, match="3"):
        joint_fit(FORMS["rl"], [*given, ([1.0, 2.0], [0.1, 0.2])], True)
