"""Ways to read a peak from the curve of a test RM, on curves whose peak was planted."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.monitoring.checkpoint_choice import WAYS, highest, law_peak, smoothed

D_S = np.linspace(0, 5, 41)
KL_S = D_S**2


@pytest.mark.parametrize("way", WAYS.values())
def test_every_way_finds_the_peak_of_a_law_without_noise(way) -> None:
    values_S = D_S * (1.0 - 0.8 * np.log(np.maximum(D_S, 1e-9)))  # d (a - b log d) peaks at d = e^(a/b - 1)
    assert abs(D_S[way(KL_S, values_S)] - np.exp(1 / 0.8 - 1)) <= D_S[1]


def test_a_running_mean_is_not_taken_in_by_a_single_outlier() -> None:
    values_S = -((D_S - 2.5) ** 2)
    values_S[35] = 1.0
    assert highest(KL_S, values_S) == 35
    assert abs(smoothed(KL_S, values_S) - 20) <= 1
    by_hand = [np.mean(values_S[max(0, i - 1) : i + 2]) for i in range(41)]
    assert smoothed(KL_S, values_S) == int(np.argmax(by_hand))


def test_a_law_without_a_peak_chooses_the_last_point_and_too_few_points_the_highest() -> None:
    assert law_peak(KL_S, 2 * D_S) == 40
    assert law_peak(KL_S[:2], np.array([1.0, 0.0])) == 0
