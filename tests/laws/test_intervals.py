"""Intervals in closed form."""

import math

import pytest

from mlproject.laws import wilson_interval


def test_wilsons_interval_equals_published_values():
    assert wilson_interval(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # Newcombe 1998, table I
    assert wilson_interval(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # table I, first case


def test_wilsons_interval_without_trials_is_nan():
    assert all(map(math.isnan, wilson_interval(math.nan, 0)))
