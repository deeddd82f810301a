"""Figures that gates judge, against closed forms."""

import math

import numpy as np
import pytest

from mlproject.registry.metrics import METRICS, RESAMPLES

WIDE = 1.959964


def measure(name, evidence, **arguments):
    return METRICS[name].measure(evidence, **arguments)


def test_accuracy_has_wilsons_interval(evidence):
    found = measure("val_accuracy", evidence(trained={"rm/val_accuracy": 0.9}, held_out=10))
    assert found.value == 0.9
    assert (found.low, found.high) == pytest.approx(
        (0.59585, 0.98212), abs=1e-4
    )  # tables of Wilson's interval, 9 of 10


def test_peak_gold_is_the_curves_own_with_its_standard_error_over_prompts(evidence):
    known = evidence(height=0.7, spread=0.3)
    found, peak = measure("peak_gold", known), known.curve.peak()
    assert found.value == pytest.approx(0.7)
    assert found.high - found.value == pytest.approx(WIDE * peak.gold_se, rel=1e-5)
    assert found.high - found.value == pytest.approx(WIDE * 0.3 / math.sqrt(99), rel=0.2)


def test_gold_at_a_kl_lies_on_the_straight_line_between_the_points_around_it(evidence):
    found = measure("gold_at_kl", evidence(), kl=0.25)  # d = .5, between .4 and .6
    assert found.value == pytest.approx((0.64 + 0.84) / 2)
    assert measure("gold_at_kl", evidence(), kl=1.0).value == pytest.approx(1.0)
    assert measure("gold_at_kl", evidence(), kl=4.0).value == pytest.approx(0.0, abs=1e-12)


def test_gold_beyond_the_end_of_the_curve_is_not_measured(evidence):
    assert math.isnan(measure("gold_at_kl", evidence(), kl=4.1).value)


def test_the_drop_is_from_peak_to_end(evidence):
    assert measure("drop_after_peak", evidence(height=0.8)).value == pytest.approx(0.8)


def test_gamma_is_the_area_between_the_laws_over_golds(evidence):
    # proxy 2 d, gold 2 d - d^2 up to d = 2: areas 4 and 4/3, so (4 - 4/3) / (4/3) = 2
    found = measure("gamma", evidence(spread=0.05))
    assert found.value == pytest.approx(2.0, rel=1e-3)
    assert found.low < 2.0 < found.high


def test_signs_are_compared_with_the_initial_policys(evidence):
    assert measure("length_ratio", evidence()).value == pytest.approx(1.5)
    assert measure("repetition_rise", evidence()).value == pytest.approx(0.15)


def test_the_margin_is_paired_so_that_hard_prompts_do_not_blur_it(evidence):
    hard_P = np.random.default_rng(1).normal(size=100) * 5
    found = measure("margin", evidence(audit_P=hard_P + 0.1, champion_audit_P=hard_P))
    assert found == pytest.approx((0.1, 0.1, 0.1))


def test_the_margins_interval_is_that_of_the_mean_of_the_differences(evidence):
    rng = np.random.default_rng(2)
    ours_P, theirs_P = rng.normal(0.3, 1, 400), rng.normal(0, 1, 400)
    found = measure("margin", evidence(audit_P=ours_P, champion_audit_P=theirs_P))
    se = np.std(ours_P - theirs_P, ddof=1) / 20
    assert found.value == pytest.approx((ours_P - theirs_P).mean())
    assert (found.high - found.low) / 2 == pytest.approx(WIDE * se, rel=4 / math.sqrt(RESAMPLES))


def test_without_a_champion_the_margin_is_over_the_initial_policy(evidence):
    assert measure("margin", evidence(audit_P=np.full(50, 0.4))).value == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["margin", "calibration_error", "length_ratio"])
def test_what_the_evidence_lacks_is_not_a_number(evidence, name):
    assert math.isnan(measure(name, evidence(trained={}, signs_start={})).value)
