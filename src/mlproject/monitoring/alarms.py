"""Alarms on signals that need no gold: a signal with a threshold on its departure.

Axis letters: S curve points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.curve import Array, CurvePoint
from mlproject.monitoring.signals import SIGNALS, Signal


@dataclass(frozen=True)
class SignalRule:
    """An alarm that fires at a point whose departure has reached a threshold.

    Attributes:
        signal: gives the departure.
        threshold: in the signal's unit.
    """

    signal: Signal
    threshold: float

    def __call__(self, points: Sequence[CurvePoint]) -> str | None:
        """Evaluate the last of the points so far.

        Args:
            points: of one run, from its start on.

        Returns:
            the reason for an alarm in one line; None for no alarm, also where the points lack the signal.
        """
        if len(points) < 2:
            return None
        departure = float(self.signal.departure(points)[-1])
        if not departure >= self.threshold:
            return None
        return f"{self.signal.name}: {departure:.3g} {self.signal.about} (alarm at {self.threshold:.3g})"


def first_alarm(departure_S: Array, threshold: float) -> int | None:
    """Index of the first point after the start at which a departure reaches a threshold; None where none does."""
    fires = np.flatnonzero(departure_S[1:] >= threshold)
    return int(fires[0]) + 1 if len(fires) else None


DEFAULT_ALARMS: tuple[SignalRule, ...] = (
    SignalRule(SIGNALS["repetition"], 0.094),
    SignalRule(SIGNALS["distinct-2"], 0.041),
)
"""The alarms that are on by default, with thresholds chosen on all runs of the experiment `early_warning`; see
docs/early_warning.md."""
