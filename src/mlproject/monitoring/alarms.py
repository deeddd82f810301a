"""Alarms that need no gold: a signal with a threshold on its departure, and numbers that are none.

Axis letters: P prompts, S curve points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.curve import Array, CurvePoint
from mlproject.monitoring.signals import SIGNALS, Signal

NOT_A_NUMBER = "not-a-number"
"""Name of the alarm that `not_a_number` raises."""


@dataclass(frozen=True)
class SignalRule:
    """An alarm that fires at a point whose departure has reached a threshold.

    Attributes:
        signal: gives the departure.
        threshold: in the signal's unit.

    Examples:
        >>> from dataclasses import replace
        >>> from mlproject import SIGNALS, SignalRule, points_from_summaries
        >>> points = points_from_summaries([0, 1], kl_S=[0.0, 1.0], gold_S=[0.0, 0.1], gold_se_S=[0.0, 0.1])
        >>> points = [replace(point, statistics={"repetition": share}) for point, share in zip(points, (0.1, 0.3))]
        >>> print(SignalRule(SIGNALS["repetition"], threshold=0.15)(points))  # doctest: +ELLIPSIS
        repetition: 0.2 more of ... (alarm at 0.15)
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


def not_a_number(points: Sequence[CurvePoint]) -> str:
    """Why the last point's numbers cannot be relied on; empty where they can.

    A score that is nan on every prompt of every point so far is one that nothing gives, and no reason.
    """
    point = points[-1]
    reasons = [] if np.isfinite(point.kl) else [f"KL is {point.kl:g}"]
    for name in ("proxy", "gold"):
        values_P = getattr(point, f"{name}_P")
        bad = int((~np.isfinite(values_P)).sum())
        is_given = any(not np.isnan(getattr(earlier, f"{name}_P")).all() for earlier in points)
        if bad and is_given:
            reasons.append(f"{name} is not finite on {bad} of {len(values_P)} prompts")
    return " and ".join(reasons)


DEFAULT_ALARMS: tuple[SignalRule, ...] = (
    SignalRule(SIGNALS["repetition"], 0.094),
    SignalRule(SIGNALS["distinct-2"], 0.041),
)
"""The alarms that are on by default, with thresholds chosen on all runs of the experiment `early_warning`; see
docs/early_warning.md."""
