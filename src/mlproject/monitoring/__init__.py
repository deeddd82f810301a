"""Early warning: signals of over-optimization that need no gold, and alarms on those that earn it.

An alarm is a pure function of the curve points so far: `alarm(points) -> str | None`, a reason in one line or nothing.
Which signals earn one is measured by the experiment `early_warning`, see docs/early_warning.md.
"""

from mlproject.monitoring.alarm_scores import (
    AlarmScores,
    GroundTruth,
    StopIndex,
    best_threshold,
    ground_truth_of,
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
    "ground_truth_of",
    "held_out_stops",
    "threshold_for_false_alarms",
]
