"""Leads, lags, false alarms and regrets of runs whose peak and alarms were planted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.monitoring.alarm_scores import (
    AlarmScores,
    GroundTruth,
    best_threshold,
    bootstrap_mean,
    held_out_stops,
    threshold_for_false_alarms,
)
from mlproject.monitoring.alarms import first_alarm

KL = np.arange(11.0)
PEAKED = GroundTruth(
    KL, -np.abs(KL - 6) / 10, peak=6, is_overoptimized=True
)  # a tenth of a deviation for each nat away from the peak
RISING = GroundTruth(KL, KL / 10, peak=10, is_overoptimized=False)


def noisy_curve(gold_S: np.ndarray, prompts: int = 400) -> Curve:
    gold_SP = gold_S[:, None] + 0.3 * np.random.default_rng(0).normal(size=(len(gold_S), prompts))
    return Curve(np.arange(len(gold_S)), KL[: len(gold_S)], gold_SP, gold_SP)


def test_a_run_that_lost_gold_is_told_from_one_that_did_not() -> None:
    fell = GroundTruth.of(noisy_curve(1 - (KL - 6) ** 2 / 36))
    assert fell.is_overoptimized and fell.peak in (5, 6, 7)
    assert not GroundTruth.of(noisy_curve(KL / 10)).is_overoptimized
    assert not GroundTruth.of(noisy_curve(np.minimum(KL, 6) / 6)).is_overoptimized  # a plateau


def test_lead_is_counted_in_nats_before_the_peak_and_lag_behind_it() -> None:
    assert [PEAKED.lead(stop) for stop in (2, 6, 9)] == [4, 0, -3]
    record = AlarmScores([PEAKED] * 4 + [RISING], [2, 6, 9, None, 3])
    assert record.leads == [4, 0, -3]
    assert record.before_peak == (2, 4)
    assert record.missed == (1, 4)


def test_false_alarms_are_those_of_runs_that_lost_nothing_and_those_far_too_early() -> None:
    assert AlarmScores([RISING, RISING], [10, None]).false_alarms == (1, 2)
    assert AlarmScores([PEAKED] * 4, [2, 3, 9, None]).false_alarms == (1, 4)  # before half of 6 nats


def test_regret_is_gold_below_the_peak_where_the_alarm_or_the_end_stops_the_run() -> None:
    record = AlarmScores([PEAKED, PEAKED, RISING, RISING], [4, None, 5, None])
    assert record.regret_C == pytest.approx([0.2, 0.4, 0.5, 0.0])


def test_the_first_alarm_is_the_first_point_after_the_start_that_reaches_the_threshold() -> None:
    departure_S = np.array([9.0, 0.0, 1.0, 0.5, 3.0])
    for threshold in (0.0, 0.3, 1.0, 1.1, 3.0, 3.1):
        by_hand = next((i for i in range(1, 5) if departure_S[i] >= threshold), None)
        assert first_alarm(departure_S, threshold) == by_hand
    assert first_alarm(np.array([np.nan, np.nan]), 0.0) is None


def test_the_best_threshold_is_the_one_found_by_trying_all() -> None:
    rng = np.random.default_rng(3)
    truths, departures = [], []
    for _ in range(12):
        peak = int(rng.integers(2, 11))
        gold_S = -np.abs(KL - peak) + 0.2 * rng.normal(size=11)
        truths.append(GroundTruth(KL, gold_S, int(gold_S.argmax()), peak < 10))
        departures.append(np.maximum(KL - peak, 0) + 0.3 * rng.normal(size=11))  # rises past the peak alone
    threshold = best_threshold(truths, departures)

    def mean_regret(at: float) -> float:
        stops = [first_alarm(departure_S, at) for departure_S in departures]
        return float(AlarmScores(truths, stops).regret_C.mean())

    assert mean_regret(threshold) == pytest.approx(min(mean_regret(t) for t in np.linspace(-2, 9, 2000)), abs=1e-12)
    assert mean_regret(threshold) < 0.7 * mean_regret(math.inf)


def test_a_threshold_for_false_alarms_is_the_lowest_that_is_false_seldom_enough() -> None:
    rng = np.random.default_rng(1)
    truths = [PEAKED, RISING] * 10
    departures = [KL / 10 + rng.random(11).cumsum() / 5 for _ in truths]
    for most in (0.0, 0.2, 0.6, 1.0):
        threshold = threshold_for_false_alarms(truths, departures, most)

        def false_alarms(at: float) -> int:
            return AlarmScores(truths, [first_alarm(d_S, at) for d_S in departures]).false_alarms[0]

        assert false_alarms(threshold) <= most * 20
        departure_J = np.unique(np.concatenate([departure_S[1:] for departure_S in departures]))
        lower = [t for t in (departure_J[1:] + departure_J[:-1]) / 2 if t < threshold]
        assert all(false_alarms(t) > most * 20 for t in lower)
        assert lower or most == 1.0


def test_a_signal_that_only_misleads_gets_a_threshold_that_never_fires() -> None:
    assert best_threshold([RISING] * 3, [KL, KL, KL]) == math.inf


def test_no_run_is_evaluated_with_a_threshold_that_was_chosen_on_it() -> None:
    truths = [PEAKED, RISING, PEAKED, RISING]
    departures = [KL, KL / 2, KL + 0.25, KL / 3]
    stops, thresholds = held_out_stops(truths, departures, [0, 0, 1, 1])
    assert thresholds == {0: best_threshold(truths[2:], departures[2:]), 1: best_threshold(truths[:2], departures[:2])}
    assert thresholds[0] != thresholds[1]
    assert stops == [first_alarm(d_S, thresholds[g]) for d_S, g in zip(departures, [0, 0, 1, 1], strict=True)]


def test_a_run_that_lacks_the_signal_runs_on_to_its_end() -> None:
    nothing = np.full(11, np.nan)
    assert best_threshold([PEAKED, PEAKED], [nothing, nothing]) == math.inf
    assert best_threshold([PEAKED, PEAKED], [nothing, KL]) < math.inf


def test_the_bootstrap_interval_of_many_values_is_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(2, 3, size=400)
    low, high = bootstrap_mean(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.04)
