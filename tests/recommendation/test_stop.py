"""Where to stop, on curves that are planted."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.recommendation.doubt import SeedSpread
from mlproject.recommendation.setting import Setting, mean_curve
from mlproject.recommendation.stop import Progress, stop_of


def curve_of(gold_S, kl_S=None, sd=0.01, prompts=64, steps_S=None, seed=0):
    rng = np.random.default_rng(seed)
    gold_S = np.asarray(gold_S, dtype=float)
    gold_SP = gold_S[:, None] + sd * rng.standard_normal((len(gold_S), prompts)) * (gold_S != 0)[:, None]
    kl_S = np.arange(len(gold_S)) ** 2.0 if kl_S is None else np.asarray(kl_S, dtype=float)
    steps_S = np.arange(len(gold_S)) if steps_S is None else np.asarray(steps_S)
    return Curve(steps_S, kl_S, gold_SP + kl_S[:, None], gold_SP)


def stop(*curves):
    return stop_of(Setting("ppo", "25k", 25_000, dict(enumerate(curves))), SeedSpread())


def test_a_clear_peak_has_a_window_of_its_own_and_a_cost():
    found = stop(curve_of([0.0, 0.6, 1.0, 0.6, 0.0001]))
    assert found.progress is Progress.PEAKED
    assert (found.step, found.kl, found.kl_window) == (2, 4.0, (4.0, 4.0))
    assert found.gold == pytest.approx(1.0, abs=0.01) and found.drop == pytest.approx(1.0, abs=0.01)
    assert found.drop_interval[0] < found.drop < found.drop_interval[1]
    assert (found.end_step, found.end_kl) == (4, 16.0) and found.proxy_rise == pytest.approx(11.0, abs=0.05)


def test_a_flat_top_is_a_window_and_a_dip_inside_ends_it():
    flat = stop(curve_of([0.0, 0.5, 1.0, 1.0, 1.0, 0.3]))
    assert flat.kl_window == (4.0, 16.0)
    dip = stop(curve_of([0.0, 1.0, 0.5, 1.002, 1.0, 0.3]))
    assert dip.kl_window == (9.0, 16.0) or dip.kl_window == (1.0, 1.0)


def test_points_are_read_in_the_order_of_their_kl():
    shuffled = curve_of([0.0, 0.3, 1.0, 0.6], kl_S=[0.0, 9.0, 1.0, 4.0])
    assert stop(shuffled).end_kl == 9.0 and stop(shuffled).kl == 1.0


def test_the_mean_curve_has_the_steps_that_all_seeds_have():
    first = curve_of([0.0, 1.0, 2.0], steps_S=[0, 10, 20], sd=0)
    second = curve_of([0.0, 3.0], kl_S=[0.0, 5.0], steps_S=[0, 20], sd=0)
    mean = mean_curve([first, second])
    assert mean.steps_S.tolist() == [0, 20] and mean.kl_S.tolist() == [0.0, 4.5] and mean.gold_S.tolist() == [0.0, 2.5]


def test_curves_without_a_common_step_or_prompts_have_no_mean():
    with pytest.raises(ValueError, match="no step in common"):
        mean_curve([curve_of([1.0], steps_S=[1]), curve_of([1.0], steps_S=[2])])
    with pytest.raises(ValueError, match="different numbers of prompts"):
        mean_curve([curve_of([1.0], prompts=4), curve_of([1.0], prompts=5)])
