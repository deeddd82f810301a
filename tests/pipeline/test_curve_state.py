"""Curve points that go through a state on disk are the same points."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mlproject.curve import CurvePoint
from mlproject.pipeline.curve_state import points_of, points_state
from mlproject.resume.state_folder import StateFolder


def test_points_come_back_with_every_digit_and_what_is_no_number(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = [
        CurvePoint(0, 0.0, rng.normal(size=3), rng.normal(size=3)),
        CurvePoint(
            7,
            1 / 3,
            rng.normal(size=3),
            np.array([math.nan, math.inf, 0.1]),
            rng.normal(size=3),
            {"length": np.float64(2 / 3), "test_rm.other": math.nan},
            {"clip_fraction": -math.inf, "entropy": 1e-300},
        ),
    ]
    folder = StateFolder(tmp_path, "me")
    folder.write("running", points_state(points))
    state = folder.read("running")
    assert state is not None
    for point, again in zip(points, points_of(state), strict=True):
        assert (point.step, point.kl) == (again.step, again.kl)
        for name in ("proxy_P", "gold_P", "human_P"):
            one, two = getattr(point, name), getattr(again, name)
            assert (one is None and two is None) or np.array_equal(one, two, equal_nan=True)
        for name in ("statistics", "diagnostics"):
            one, two = getattr(point, name), getattr(again, name)
            assert list(one) == list(two)
            assert np.array_equal(list(one.values()), list(two.values()), equal_nan=True)
