"""Joint fits: free alphas equal separate fits, a shared one a partialled-out regression, and AIC picks the truth."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.laws import FORMS, fit_form, joint_fit

D = [np.linspace(0.1, 3.0, 20), np.linspace(0.1, 5.0, 31), np.linspace(0.2, 4.0, 13), np.linspace(0.4, 6.0, 25)]
BETAS = np.array([0.30, 0.22, 0.17, 0.12])


def curves(rng: np.random.Generator, alphas: np.ndarray, noise: float) -> list[tuple[np.ndarray, np.ndarray]]:
    golds = [FORMS["rl"].value(d, [a, b]) for d, a, b in zip(D, alphas, BETAS, strict=True)]
    return [(d, gold + rng.normal(scale=noise, size=len(d))) for d, gold in zip(D, golds, strict=True)]


def test_a_planted_shared_alpha_and_its_betas_are_recovered() -> None:
    joint = joint_fit(FORMS["rl"], curves(np.random.default_rng(0), np.full(4, 0.4), 0.0), True, min_d=0.3)
    np.testing.assert_allclose(joint.alpha_C, np.full(4, 0.4))
    np.testing.assert_allclose(joint.beta_C, BETAS)
    assert joint.rmse < 1e-12


def test_free_alphas_equal_separate_fits() -> None:
    data = curves(np.random.default_rng(1), np.array([0.3, 0.4, 0.5, 0.6]), 0.05)
    joint = joint_fit(FORMS["rl"], data, False, min_d=0.3)
    alone = [fit_form(FORMS["rl"], d, gold, min_d=0.3) for d, gold in data]
    np.testing.assert_allclose(joint.alpha_C, [law.alpha for law in alone])
    np.testing.assert_allclose(joint.beta_C, [law.beta for law in alone])
    points = np.array([law.points for law in alone])
    rss = np.sum([law.points * law.rmse**2 for law in alone])
    assert joint.rmse == pytest.approx(np.sqrt(rss / points.sum()))
    assert joint.aic == pytest.approx(points.sum() * np.log(rss / points.sum()) + 2 * 8)


def test_a_shared_alpha_is_the_slope_after_the_curvature_of_each_curve_is_partialled_out() -> None:
    """Frisch, Waugh and Lovell: regress the residual of gold on the residual of the rise, each after the bend."""
    data = curves(np.random.default_rng(2), np.array([0.3, 0.4, 0.5, 0.6]), 0.05)
    rest_rise, rest_gold = [], []
    for d, gold in data:
        bend = d * np.log(d)
        rest_rise.append(d - bend * (bend @ d) / (bend @ bend))
        rest_gold.append(gold - bend * (bend @ gold) / (bend @ bend))
    rise, gold = np.concatenate(rest_rise), np.concatenate(rest_gold)
    alpha = (rise @ gold) / (rise @ rise)
    joint = joint_fit(FORMS["rl"], data, True)
    np.testing.assert_allclose(joint.alpha_C, np.full(4, alpha))
    rss = np.sum((gold - alpha * rise) ** 2)
    assert joint.rmse == pytest.approx(np.sqrt(rss / len(gold)))
    assert joint.aic == pytest.approx(len(gold) * np.log(rss / len(gold)) + 2 * 5)


def test_aic_shares_a_common_alpha_as_often_as_chi_square_says_and_never_four_different_ones() -> None:
    """Free alphas win where twice the log likelihood gains more than 6, with 3 degrees of freedom: 11.2 %."""
    rng = np.random.default_rng(3)
    for alphas, expected in ((np.full(4, 0.4), 0.888), (np.array([0.3, 0.4, 0.5, 0.6]), 0.0)):
        shared = 0
        for _ in range(500):
            data = curves(rng, alphas, 0.03)
            shared += joint_fit(FORMS["rl"], data, True).aic < joint_fit(FORMS["rl"], data, False).aic
        assert shared / 500 == pytest.approx(expected, abs=0.045)


def test_forms_without_one_beta_and_short_curves_are_refused() -> None:
    data = curves(np.random.default_rng(4), np.full(4, 0.4), 0.0)
    for name in ("linear", "power"):
        with pytest.raises(ValueError, match="alpha and beta alone"):
            joint_fit(FORMS[name], data, True)
    with pytest.raises(ValueError, match="3"):
        joint_fit(FORMS["rl"], [*data, ([1.0, 2.0], [0.1, 0.2])], True)
