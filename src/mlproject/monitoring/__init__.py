"""Monitoring of a policy as it is optimized: signals of over-optimization, alarms, forecasts, and a live evaluator.

An alarm on a signal needs no gold. It is a pure function of the curve points so far: `alarm(points) -> str | None`, a
reason in one line or nothing. The experiment `early_warning` measures which signals earn one; see
docs/early_warning.md.
"""

from mlproject.monitoring.alarm_scores import (
    AlarmScores,
    GroundTruth,
    StopIndex,
    best_threshold,
    held_out_stops,
    threshold_for_false_alarms,
)
from mlproject.monitoring.alarms import DEFAULT_ALARMS, SignalRule, first_alarm
from mlproject.monitoring.signals import SIGNALS, Signal

__all__ = [
    "DEFAULT_ALARMS",
    "SIGNALS",
    "AlarmScores",
    "GroundTruth",
    "Signal",
    "SignalRule",
    "StopIndex",
    "best_threshold",
    "first_alarm",
    "held_out_stops",
    "threshold_for_false_alarms",
]
