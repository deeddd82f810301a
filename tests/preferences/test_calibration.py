"""The calibration scale: it recovers what was planted, and no other scale does better."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.preferences.calibration import calibration_scale


def cross_entropy(c: float, proxy_B: np.ndarray, gold_B: np.ndarray) -> float:
    """Against soft gold labels, written the long way."""
    soft = 1 / (1 + np.exp(-gold_B))
    return float(np.mean(soft * np.logaddexp(0, -c * proxy_B) + (1 - soft) * np.logaddexp(0, c * proxy_B)))


@pytest.mark.parametrize("planted", [1e-3, 0.04, 1.0, 17.0, 4e3])
def test_a_planted_scale_is_recovered(planted: float) -> None:
    gold_B = np.random.default_rng(0).normal(size=800) * 1.5
    assert calibration_scale(gold_B / planted, gold_B) == pytest.approx(planted, rel=1e-6)


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
def test_no_scale_on_a_fine_grid_has_a_lower_cross_entropy(noise: float, spread: float) -> None:
    rng = np.random.default_rng(1)
    gold_B = rng.normal(size=500) * spread
    proxy_B = 5 * (gold_B + spread * noise * rng.normal(size=500))
    scale = calibration_scale(proxy_B, gold_B)
    lowest = min(cross_entropy(c, proxy_B, gold_B) for c in scale * np.geomspace(0.05, 20, 3001))
    assert cross_entropy(scale, proxy_B, gold_B) <= lowest + 1e-12


def test_a_noisier_proxy_gets_a_smaller_scale() -> None:
    rng = np.random.default_rng(2)
    gold_B, noise_B = rng.normal(size=(2, 2000))
    scales = [calibration_scale(gold_B + noise * noise_B, gold_B) for noise in (0.0, 0.5, 1.0, 2.0)]
    assert scales == sorted(scales, reverse=True)


def test_the_scale_is_in_gold_units_per_unit_of_the_proxy() -> None:
    rng = np.random.default_rng(3)
    gold_B = rng.normal(size=300)
    proxy_B = gold_B + rng.normal(size=300)
    assert calibration_scale(8 * proxy_B, gold_B) == pytest.approx(calibration_scale(proxy_B, gold_B) / 8, rel=1e-6)


def test_a_proxy_that_contradicts_gold_gets_a_thousandth_over_its_spread() -> None:
    gold_B = np.random.default_rng(4).normal(size=300)
    proxy_B = -7 * gold_B
    assert calibration_scale(proxy_B, gold_B) == pytest.approx(1e-3 / proxy_B.std())
