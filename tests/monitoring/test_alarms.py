"""An alarm on a signal: where it fires, what it says, and that it looks at nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.curve import CurvePoint
from mlproject.monitoring.alarms import DEFAULT_ALARMS, SignalRule, first_alarm
from mlproject.monitoring.signals import SIGNALS, Signal

DRIFT = Signal("drift", "units of drift", lambda points: np.array([point.kl - points[0].kl for point in points]))


def points_at(*kl: float) -> list[CurvePoint]:
    return [CurvePoint(step, value, np.zeros(2), np.zeros(2)) for step, value in enumerate(kl)]


def test_an_alarm_fires_from_its_threshold_on_and_only_after_the_start() -> None:
    rule = SignalRule(DRIFT, 1.5)
    assert [bool(rule(points_at(2.0, kl))) for kl in (3.4, 3.5, 3.6)] == [False, True, True]
    assert SignalRule(DRIFT, -1.0)(points_at(2.0)) is None, "a start has departed from nothing"


def test_an_alarm_judges_the_last_point_and_falls_silent_again() -> None:
    rule = SignalRule(DRIFT, 1.0)
    points = points_at(0.0, 2.0, 0.5)
    assert rule(points[:2]) == "drift: 2 units of drift (alarm at 1)"
    assert rule(points) is None


def test_a_departure_of_nan_raises_no_alarm() -> None:
    unknown = Signal("unknown", "", lambda points: np.full(len(points), np.nan))
    assert SignalRule(unknown, -np.inf)(points_at(0.0, 1.0)) is None


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.7, 2.5, 9.0])
def test_the_first_alarm_of_a_departure_is_where_the_rule_first_speaks(threshold: float) -> None:
    points = points_at(1.0, 0.5, 1.7, 3.4, 3.6)
    rule = SignalRule(DRIFT, threshold)
    spoken = [index for index in range(1, 5) if rule(points[: index + 1])]
    assert first_alarm(DRIFT.departure(points), threshold) == (spoken[0] if spoken else None)


def test_the_default_alarms_are_those_that_the_documentation_names() -> None:
    assert {rule.signal.name: rule.threshold for rule in DEFAULT_ALARMS} == {"repetition": 0.094, "distinct-2": 0.041}
    assert all(rule.signal is SIGNALS[rule.signal.name] for rule in DEFAULT_ALARMS)
