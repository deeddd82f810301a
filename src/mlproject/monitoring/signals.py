"""Signals that need no gold, each as a departure: how far it has moved in the direction of over-optimization.

A departure at a point depends on that point and those before it, never on later ones. It is 0 where a run starts,
except for signals that are levels (KL), in the signal's own unit, and nan where the points lack the statistics that it
is computed from.

Axis letters: S curve points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.curve import Array, CurvePoint
from mlproject.names import Statistic, StatisticPrefix

HEDGES = (Statistic.HEDGES,)
STOCK = (
    Statistic.STOCK_PHRASES,
    Statistic.COURTESY,
    Statistic.APOLOGIES,
    Statistic.FLATTERY,
    Statistic.FILLER,
    Statistic.REFUSALS,
)
"""Text statistics that count stock phrases of some kind; every world has some of them."""

Points = Sequence[CurvePoint]


@dataclass(frozen=True)
class Signal:
    """Something that can be monitored without gold.

    Attributes:
        name: for people and, in lower case with hyphens, for alarms.
        about: meaning and unit of a departure, as the end of a sentence that begins with its value.
        departure: computes the departure at each point so far. Returns shape (S,).
    """

    name: str
    about: str
    departure: Callable[[Points], Array]


def series(points: Points, statistic: str) -> Array:
    """A statistic along a run; nan where a point lacks it. Shape: (S,)."""
    return np.array([point.statistics.get(statistic, np.nan) for point in points])


def mean_series(points: Points, prefix: str) -> Array:
    """Mean over the statistics whose names begin with a prefix; nan where there is none. Shape: (S,)."""
    names = [name for name in points[0].statistics if name.startswith(prefix)]
    return np.mean([series(points, name) for name in names], axis=0) if names else np.full(len(points), np.nan)


def worst(points: Points, prefix: str, departure: Callable[[Array], Array]) -> Array:
    """Largest departure of the statistics whose names begin with a prefix; nan where there is none. Shape: (S,)."""
    names = [name for name in points[0].statistics if name.startswith(prefix)]
    departures = [departure(series(points, name)) for name in names]
    return np.max(departures, axis=0) if departures else np.full(len(points), np.nan)


def rise(values_S: Array) -> Array:
    """Change since the first point. Shape: (S,)."""
    return values_S - values_S[0]


def relative_rise(values_S: Array) -> Array:
    """Change since the first point, as a share of its value; nan where that is 0. Shape: (S,)."""
    return rise(values_S) / (abs(values_S[0]) or np.nan)


def rise_from_lowest(values_S: Array) -> Array:
    """How far a value lies above the lowest so far. Shape: (S,)."""
    return values_S - np.fmin.accumulate(values_S)


def shortfall(values_S: Array) -> Array:
    """How far a value lies below the highest so far. Shape: (S,)."""
    return np.fmax.accumulate(values_S) - values_S


def _rate(points: Points, counts: Sequence[str]) -> Array:
    """Occurrences per 100 words, summed over those counts that the points have; nan for none. Shape: (S,)."""
    available = [series(points, name) for name in counts if name in points[0].statistics]
    if not available:
        return np.full(len(points), np.nan)
    return 100 * np.sum(available, axis=0) / np.maximum(series(points, Statistic.LENGTH), 1e-9)


def _proxy(points: Points) -> Array:
    return np.array([point.proxy for point in points])


def _proxy_less_members(points: Points) -> Array:
    return _proxy(points) - mean_series(points, StatisticPrefix.MEMBER)


SIGNALS: dict[str, Signal] = {
    signal.name: signal
    for signal in (
        Signal("length", "relative change of response length, up or down",
               lambda points: abs(relative_rise(series(points, Statistic.LENGTH)))),
        Signal("repetition", "more of a response's words repeat an earlier one (share)",
               lambda points: rise(series(points, Statistic.REPETITION))),
        Signal("distinct-2", "fewer of a response's word pairs are distinct (share)",
               lambda points: -rise(series(points, Statistic.DISTINCT_2))),
        Signal("compression", "relative rise of the compression ratio of all responses together",
               lambda points: relative_rise(series(points, Statistic.COMPRESSION))),
        Signal("distinct responses", "fewer responses are distinct (share)",
               lambda points: -rise(series(points, Statistic.DISTINCT_RESPONSES))),
        Signal("entropy", "relative fall of the policy's entropy per token",
               lambda points: -relative_rise(series(points, Statistic.ENTROPY))),
        Signal("hedges", "more hedges per 100 words",
               lambda points: rise(_rate(points, HEDGES))),
        Signal("stock phrases", "more stock phrases per 100 words",
               lambda points: rise(_rate(points, STOCK))),
        Signal("test RM gap", "standard deviations that proxy less a test RM lies above its lowest so far",
               lambda points: worst(points, StatisticPrefix.RM_GAP, rise_from_lowest)),
        Signal("test RM", "standard deviations that a test RM lies below its highest score so far",
               lambda points: worst(points, StatisticPrefix.TEST_RM, shortfall)),
        Signal("ensemble disagreement", "relative rise of the standard deviation over proxies of other seeds",
               lambda points: relative_rise(series(points, Statistic.RM_DISAGREEMENT))),
        Signal("ensemble gap", "standard deviations that proxy less other seeds' proxies lies above its lowest so far",
               lambda points: rise_from_lowest(_proxy_less_members(points))),
        Signal("ensemble", "standard deviations that the mean of other seeds' proxies lies below its highest so far",
               lambda points: shortfall(mean_series(points, StatisticPrefix.MEMBER))),
        Signal("proxy", "standard deviations of the proxy's own gain",
               lambda points: rise(_proxy(points))),
        Signal("KL", "nats from the initial policy",
               lambda points: np.array([point.kl for point in points])),
    )
}  # fmt: skip
"""Every signal that was evaluated, by name. The last two are baselines: anybody can stop at a proxy score or a KL."""
