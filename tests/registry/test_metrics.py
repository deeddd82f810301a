"""Metrics that gates check, against closed forms."""

import math

import numpy as np
import pytest

from mlproject.registry.metrics import METRICS, RESAMPLES

Z_975 = 1.959964


def measure(name, evidence, **arguments):
    return METRICS[name].measure(evidence, **arguments)


def test_accuracy_has_wilsons_interval(evidence):
    estimate = measure("val_accuracy", evidence(trained={"rm/val_accuracy": 0.9}, held_out=10))
    assert estimate.value == 0.9
    assert (estimate.low, estimate.high) == pytest.approx(
        (0.59585, 0.98212), abs=1e-4
    )  # tables of Wilson's interval, 9 of 10


def test_peak_gold_is_that_of_the_curve_with_its_standard_error_over_prompts(evidence):
    noisy = evidence(height=0.7, spread=0.3)
    estimate, peak = measure("peak_gold", noisy), noisy.curve.peak()
    assert estimate.value == pytest.approx(0.7)
    assert estimate.high - estimate.value == pytest.approx(Z_975 * peak.gold_se, rel=1e-5)
    assert estimate.high - estimate.value == pytest.approx(Z_975 * 0.3 / math.sqrt(99), rel=0.2)


def test_gold_at_a_kl_lies_on_the_straight_line_between_the_points_around_it(evidence):
    estimate = measure("gold_at_kl", evidence(), kl=0.25)  # d = .5, between .4 and .6
    assert estimate.value == pytest.approx((0.64 + 0.84) / 2)
    assert measure("gold_at_kl", evidence(), kl=1.0).value == pytest.approx(1.0)
    assert measure("gold_at_kl", evidence(), kl=4.0).value == pytest.approx(0.0, abs=1e-12)


def test_gold_beyond_the_end_of_the_curve_is_not_measured(evidence):
    assert math.isnan(measure("gold_at_kl", evidence(), kl=4.1).value)


def test_the_drop_is_from_peak_to_end(evidence):
    assert measure("drop_after_peak", evidence(height=0.8)).value == pytest.approx(0.8)


def test_gamma_is_the_area_between_the_laws_over_golds(evidence):
    # proxy 2 d, gold 2 d - d^2 up to d = 2: areas 4 and 4/3, so (4 - 4/3) / (4/3) = 2
    estimate = measure("gamma", evidence(spread=0.05))
    assert estimate.value == pytest.approx(2.0, rel=1e-3)
    assert estimate.low < 2.0 < estimate.high


def test_signs_are_compared_with_the_initial_policys(evidence):
    assert measure("length_ratio", evidence()).value == pytest.approx(1.5)
    assert measure("repetition_rise", evidence()).value == pytest.approx(0.15)


def test_the_margin_is_paired_so_that_hard_prompts_do_not_widen_it(evidence):
    hard_P = np.random.default_rng(1).normal(size=100) * 5
    estimate = measure("margin", evidence(audit_P=hard_P + 0.1, champion_audit_P=hard_P))
    assert estimate == pytest.approx((0.1, 0.1, 0.1))


def test_the_margins_interval_is_that_of_the_mean_of_the_differences(evidence):
    rng = np.random.default_rng(2)
    challenger_P, champion_P = rng.normal(0.3, 1, 400), rng.normal(0, 1, 400)
    estimate = measure("margin", evidence(audit_P=challenger_P, champion_audit_P=champion_P))
    se = np.std(challenger_P - champion_P, ddof=1) / 20
    assert estimate.value == pytest.approx((challenger_P - champion_P).mean())
    assert (estimate.high - estimate.low) / 2 == pytest.approx(Z_975 * se, rel=4 / math.sqrt(RESAMPLES))


def test_without_a_champion_the_margin_is_over_the_initial_policy(evidence):
    assert measure("margin", evidence(audit_P=np.full(50, 0.4))).value == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["margin", "calibration_error", "length_ratio"])
def test_a_metric_that_the_evidence_lacks_is_nan(evidence, name):
    assert math.isnan(measure(name, evidence(trained={}, signs_start={})).value)
