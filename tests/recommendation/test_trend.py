"""The slope of peak gold over reward-model size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.recommendation.planted import Truth, draw

from mlproject.recommendation.setting import spread_of
from mlproject.recommendation.trend import Direction, size_trend


def test_the_slope_is_that_of_least_squares_over_log10_of_the_size():
    settings = draw(Truth([0.4, 0.9, 1.2, 1.3]), np.random.default_rng(0))
    trend = size_trend(settings, spread_of(settings))
    peaks = [setting.peak_gold_P.mean() for setting in settings]
    assert trend is not None and trend.slope == pytest.approx(np.polyfit([3, 4, 5, 6], peaks, 1)[0])
    assert trend.direction is Direction.RISES and trend.sizes == 4


def test_a_reward_model_of_unknown_size_is_left_out():
    settings = draw(Truth([0.4, 0.9, 1.2, 1.3]), np.random.default_rng(0))
    unknown = replace(settings[0], rm="imported", rm_params=0)
    spread = spread_of(settings)
    assert size_trend([unknown, *settings], spread) == size_trend(settings, spread)
    assert size_trend([unknown, *settings[:2]], spread) is None
