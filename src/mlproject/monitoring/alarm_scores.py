"""Scores of an alarm over many finished runs: its lead on the peak, its misses and false alarms, what stopping costs.

Axis letters: S curve points, C runs, J thresholds, W bootstrap resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlproject.curve import Array, Curve
from mlproject.monitoring.alarms import first_alarm

StopIndex = int | None
"""Index of the point at which an alarm first fires; None where it never does, so that the run goes on to its end."""

SIGNIFICANT_DROP = 2.0
"""Standard errors, paired over prompts, that gold must have lost by the end of a run for it to count as
over-optimized."""

EARLIEST = 0.5
"""Share of the peak's KL before which an alarm is a false one, also where gold falls later."""


@dataclass(frozen=True)
class GroundTruth:
    """What gold says of a finished run.

    Attributes:
        kl_S: nats. Shape: (S,).
        gold_S: mean over prompts. Shape: (S,).
        peak: index of the highest gold.
        is_overoptimized: whether gold has fallen by more than `SIGNIFICANT_DROP` standard errors at the end.
    """

    kl_S: Array
    gold_S: Array
    peak: int
    is_overoptimized: bool

    @classmethod
    def of(cls, curve: Curve) -> GroundTruth:
        """The ground truth of a finished curve."""
        drop, se = curve.drop_after_peak()
        return cls(curve.kl_S, curve.gold_S, int(curve.gold_S.argmax()), drop > SIGNIFICANT_DROP * se)

    @property
    def peak_kl(self) -> float:
        """Nats."""
        return float(self.kl_S[self.peak])

    def regret(self, stop: StopIndex) -> float:
        """Gold at the peak less gold where the run is stopped, standard deviations."""
        return float(self.gold_S[self.peak] - self.gold_S[-1 if stop is None else stop])

    def lead(self, stop: int) -> float:
        """Nats from an alarm to the peak; negative where the alarm comes after the peak."""
        return self.peak_kl - float(self.kl_S[stop])

    def is_false_alarm(self, stop: StopIndex) -> bool:
        """Whether an alarm is false: gold had not fallen by the end, or the alarm came before half of the peak's KL."""
        return stop is not None and (not self.is_overoptimized or self.kl_S[stop] < EARLIEST * self.peak_kl)


@dataclass(frozen=True)
class AlarmScores:
    """How well an alarm did over C runs.

    Attributes:
        truths: the ground truth of each run. Length C.
        stops: the index at which the alarm fired in each. Length C.
    """

    truths: Sequence[GroundTruth]
    stops: Sequence[StopIndex]

    @property
    def leads(self) -> list[float]:
        """Nats from alarm to peak in those over-optimized runs in which the alarm fired."""
        return [truth.lead(stop) for truth, stop in self._overoptimized() if stop is not None]

    @property
    def before_peak(self) -> tuple[int, int]:
        """(over-optimized runs in which the alarm fired before the peak or at it, all over-optimized runs)."""
        runs = self._overoptimized()
        return sum(stop is not None and stop <= truth.peak for truth, stop in runs), len(runs)

    @property
    def missed(self) -> tuple[int, int]:
        """(over-optimized runs in which the alarm never fired, all over-optimized runs)."""
        runs = self._overoptimized()
        return sum(stop is None for _, stop in runs), len(runs)

    @property
    def false_alarms(self) -> tuple[int, int]:
        """(runs with a false alarm, all runs)."""
        return sum(t.is_false_alarm(s) for t, s in zip(self.truths, self.stops, strict=True)), len(self.truths)

    @property
    def regret_C(self) -> Array:
        """Gold lost by stopping at the alarm, standard deviations. Shape: (C,)."""
        return np.array([truth.regret(stop) for truth, stop in zip(self.truths, self.stops, strict=True)])

    def _overoptimized(self) -> list[tuple[GroundTruth, StopIndex]]:
        return [(t, stop) for t, stop in zip(self.truths, self.stops, strict=True) if t.is_overoptimized]


def best_threshold(truths: Sequence[GroundTruth], departures_S: Sequence[Array]) -> float:
    """The threshold whose alarm has the least mean regret over runs; of equally good ones the highest.

    Args:
        truths: the ground truth of each run. Length C.
        departures_S: a signal's departure at each point of each run. Length C, of shape (S,) each.

    Returns:
        halfway between two departures that occurred; infinity where no alarm is better than none.
    """
    threshold_J = _candidates(departures_S)
    regret_J = np.zeros(len(threshold_J))
    for truth, departure_S in zip(truths, departures_S, strict=True):
        stop_J = np.minimum(_first_alarms(departure_S, threshold_J), len(truth.gold_S) - 1)
        regret_J += truth.gold_S[truth.peak] - truth.gold_S[stop_J]
    best = len(regret_J) - 1 - int(np.argmin(np.round(regret_J[::-1], 12)))
    return float(threshold_J[best])


def threshold_for_false_alarms(
    truths: Sequence[GroundTruth], departures_S: Sequence[Array], max_share: float = 0.1
) -> float:
    """The lowest threshold whose alarm is false in no more than a share of the runs.

    Args:
        truths: the ground truth of each run. Length C.
        departures_S: a signal's departure at each point of each run. Length C, of shape (S,) each.
        max_share: the largest share of runs with a false alarm.

    Returns:
        halfway between two departures that occurred; infinity where every finite one is false more often.
    """
    threshold_J = _candidates(departures_S)
    false_J = np.zeros(len(threshold_J))
    for truth, departure_S in zip(truths, departures_S, strict=True):
        stop_J = _first_alarms(departure_S, threshold_J)
        early_J = np.append(truth.kl_S, math.inf)[stop_J] < EARLIEST * truth.peak_kl
        false_J += (stop_J < len(truth.kl_S)) & (early_J | (not truth.is_overoptimized))
    return float(threshold_J[int(np.argmax(false_J <= max_share * len(truths)))])


def _candidates(departures_S: Sequence[Array]) -> Array:
    """Halfway between any two neighbours among all departures, and infinity. Shape: (J,)."""
    values = np.unique(np.concatenate([departure_S[1:] for departure_S in departures_S]))
    values = values[np.isfinite(values)]
    return np.append((values[1:] + values[:-1]) / 2, math.inf)


def _first_alarms(departure_S: Array, threshold_J: Array) -> NDArray[np.int64]:
    """`first_alarm` for many thresholds; the number of points where none fires. Shape: (J,)."""
    highest_S = np.maximum.accumulate(np.nan_to_num(departure_S[1:], nan=-math.inf))
    return np.searchsorted(highest_S, threshold_J) + 1


def held_out_stops(
    truths: Sequence[GroundTruth],
    departures_S: Sequence[Array],
    groups: Sequence[Hashable],
    choose: Callable[[Sequence[GroundTruth], Sequence[Array]], float] = best_threshold,
) -> tuple[list[StopIndex], dict[Hashable, float]]:
    """Where an alarm stops each run, with a threshold chosen on the runs of all other groups.

    Args:
        truths: the ground truth of each run. Length C.
        departures_S: a signal's departure at each point of each run. Length C, of shape (S,) each.
        groups: the group of each run, 2 or more different ones. Length C.
        choose: chooses a threshold from ground truths and departures, such as `best_threshold`.

    Returns:
        the stop of each run, and the threshold that was applied to each group.
    """
    thresholds = {}
    for group in dict.fromkeys(groups):
        others = [i for i, other in enumerate(groups) if other != group]
        thresholds[group] = choose([truths[i] for i in others], [departures_S[i] for i in others])
    stops = [first_alarm(d_S, thresholds[group]) for d_S, group in zip(departures_S, groups, strict=True)]
    return stops, thresholds


def bootstrap_mean(values_C: Sequence[float] | Array, resamples: int = 4000) -> tuple[float, float]:
    """95 % percentile interval for a mean over runs; nan for fewer than 2."""
    array_C = np.asarray(values_C, dtype=np.float64)
    if len(array_C) < 2:
        return math.nan, math.nan
    index_WC = np.random.default_rng(0).integers(len(array_C), size=(resamples, len(array_C)))
    low, high = np.percentile(array_C[index_WC].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
