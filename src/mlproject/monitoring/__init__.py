"""Early warning: signals of over-optimization that need no gold, and alarms on those that earn it.

An alarm is a pure function of the curve points so far: `alarm(points) -> str | None`, a reason in one line or nothing.
Which signals earn one is measured by the experiment `early_warning`, see docs/early_warning.md.
"""

from mlproject.monitoring.alarm_scores import (
    Record,
    Stop,
    Truth,
    best_threshold,
    held_out_stops,
    quiet_threshold,
    truth_of,
)
from mlproject.monitoring.alarms import DEFAULT_WARNINGS, SignalRule, first_alarm
from mlproject.monitoring.signals import SIGNALS, Signal

__all__ = [
    "DEFAULT_WARNINGS",
    "SIGNALS",
    "Record",
    "Signal",
    "SignalRule",
    "Stop",
    "Truth",
    "best_threshold",
    "first_alarm",
    "held_out_stops",
    "quiet_threshold",
    "truth_of",
]
