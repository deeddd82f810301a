"""The record of an alarm over many runs: does it lead the peak, what does stopping at it cost, how often is it false.

Axis letters: S curve points, R runs, C thresholds to choose from.
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
"""Index of the point at which an alarm first fires; None where it never does: the run then goes on to its end."""

FELL = 2.0
"""Standard errors, paired over prompts, that gold must have lost by the end of a run for it to count as
over-optimized."""

EARLY = 0.5
"""An alarm before this share of the peak's KL is a false one, also where gold falls later."""


@dataclass(frozen=True)
class GroundTruth:
    """What gold says of a run.

    Attributes:
        kl_S: nats. Shape: (S,).
        gold_S: mean over prompts. Shape: (S,).
        peak: index of the highest gold.
        fell: whether gold has fallen by more than `FELL` standard errors at the end.
    """

    kl_S: Array
    gold_S: Array
    peak: int
    fell: bool

    @property
    def peak_kl(self) -> float:
        """Nats."""
        return float(self.kl_S[self.peak])

    def regret(self, stop: StopIndex) -> float:
        """Gold at the peak less gold where the run is stopped, standard deviations."""
        return float(self.gold_S[self.peak] - self.gold_S[-1 if stop is None else stop])

    def lead(self, stop: int) -> float:
        """Nats from a stop to the peak; negative where it comes after it."""
        return self.peak_kl - float(self.kl_S[stop])

    def is_false(self, stop: StopIndex) -> bool:
        """Whether an alarm is false: gold had not fallen by the end, or it came before half of the peak's KL."""
        return stop is not None and (not self.fell or self.kl_S[stop] < EARLY * self.peak_kl)


def ground_truth_of(curve: Curve) -> GroundTruth:
    """Read a finished curve."""
    drop, se = curve.drop_after_peak()
    return GroundTruth(curve.kl_S, curve.gold_S, int(curve.gold_S.argmax()), drop > FELL * se)


@dataclass(frozen=True)
class AlarmScores:
    """How an alarm did.

    Attributes:
        truths, stops: of each run. Length R each.
    """

    truths: Sequence[GroundTruth]
    stops: Sequence[StopIndex]

    @property
    def leads(self) -> list[float]:
        """Nats from alarm to peak, of the over-optimized runs in which it fired."""
        return [truth.lead(stop) for truth, stop in self._fell() if stop is not None]

    @property
    def before_peak(self) -> tuple[int, int]:
        """(over-optimized runs in which it fired before the peak or at it, all over-optimized runs)."""
        fell = self._fell()
        return sum(stop is not None and stop <= truth.peak for truth, stop in fell), len(fell)

    @property
    def missed(self) -> tuple[int, int]:
        """(over-optimized runs in which it never fired, all over-optimized runs)."""
        fell = self._fell()
        return sum(stop is None for _, stop in fell), len(fell)

    @property
    def false(self) -> tuple[int, int]:
        """(runs with a false alarm, all runs)."""
        return sum(t.is_false(s) for t, s in zip(self.truths, self.stops, strict=True)), len(self.truths)

    @property
    def regret_R(self) -> Array:
        """Gold lost by stopping at the alarm, standard deviations. Shape: (R,)."""
        return np.array([truth.regret(stop) for truth, stop in zip(self.truths, self.stops, strict=True)])

    def _fell(self) -> list[tuple[GroundTruth, StopIndex]]:
        return [(truth, stop) for truth, stop in zip(self.truths, self.stops, strict=True) if truth.fell]


def best_threshold(truths: Sequence[GroundTruth], departures_S: Sequence[Array]) -> float:
    """The threshold whose alarm has the least mean regret over runs; of equally good ones the highest.

    Args:
        truths: of each run.
        departures_S: of each run, at each of its points.

    Returns:
        halfway between two departures that occurred; infinity where no alarm is better than none.
    """
    candidates_C = _candidates(departures_S)
    regret_C = np.zeros(len(candidates_C))
    for truth, departure_S in zip(truths, departures_S, strict=True):
        stop_C = np.minimum(_first_alarms(departure_S, candidates_C), len(truth.gold_S) - 1)
        regret_C += truth.gold_S[truth.peak] - truth.gold_S[stop_C]
    best = len(regret_C) - 1 - int(np.argmin(np.round(regret_C[::-1], 12)))
    return float(candidates_C[best])


def threshold_for_false_alarms(
    truths: Sequence[GroundTruth], departures_S: Sequence[Array], most_false: float = 0.1
) -> float:
    """The lowest threshold whose alarm is false in no more than a share of the runs.

    Args:
        truths: of each run.
        departures_S: of each run, at each of its points.
        most_false: that share.

    Returns:
        halfway between two departures that occurred; infinity where every finite one is false more often.
    """
    candidates_C = _candidates(departures_S)
    false_C = np.zeros(len(candidates_C))
    for truth, departure_S in zip(truths, departures_S, strict=True):
        stop_C = _first_alarms(departure_S, candidates_C)
        early_C = np.append(truth.kl_S, math.inf)[stop_C] < EARLY * truth.peak_kl
        false_C += (stop_C < len(truth.kl_S)) & (early_C | (not truth.fell))
    return float(candidates_C[int(np.argmax(false_C <= most_false * len(truths)))])


def _candidates(departures_S: Sequence[Array]) -> Array:
    """Halfway between any two neighbours among all departures, and infinity. Shape: (C,)."""
    seen = np.unique(np.concatenate([values_S[1:] for values_S in departures_S]))
    seen = seen[np.isfinite(seen)]
    return np.append((seen[1:] + seen[:-1]) / 2, math.inf)


def _first_alarms(departure_S: Array, thresholds_C: Array) -> NDArray[np.int64]:
    """`first_alarm` for many thresholds; the number of points where none fires. Shape: (C,)."""
    highest_S = np.maximum.accumulate(np.nan_to_num(departure_S[1:], nan=-math.inf))
    return np.searchsorted(highest_S, thresholds_C) + 1


def held_out_stops(
    truths: Sequence[GroundTruth],
    departures_S: Sequence[Array],
    groups: Sequence[Hashable],
    choose: Callable[[Sequence[GroundTruth], Sequence[Array]], float] = best_threshold,
) -> tuple[list[StopIndex], dict[Hashable, float]]:
    """Where an alarm stops each run, with a threshold chosen on the runs of all other groups.

    Args:
        truths, departures_S: of each run.
        groups: that each run belongs to, 2 or more different ones.
        choose: gives a threshold from runs.

    Returns:
        stop of each run, and the threshold that each group was judged with.
    """
    thresholds = {}
    for group in dict.fromkeys(groups):
        others = [i for i, other in enumerate(groups) if other != group]
        thresholds[group] = choose([truths[i] for i in others], [departures_S[i] for i in others])
    stops = [first_alarm(d_S, thresholds[group]) for d_S, group in zip(departures_S, groups, strict=True)]
    return stops, thresholds


def bootstrap_mean(values_R: Sequence[float] | Array, samples: int = 4000) -> tuple[float, float]:
    """95 % percentile interval for a mean over runs; nan for fewer than 2."""
    known = np.asarray(values_R, dtype=np.float64)
    if len(known) < 2:
        return math.nan, math.nan
    drawn = np.random.default_rng(0).integers(len(known), size=(samples, len(known)))
    low, high = np.percentile(known[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
