"""Pairs of reward models: differences against the paired t interval, and the number of prompts against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.laws.intervals import t_975
from mlproject.recommendation.pairs import Pair, pair_sentence, pairs_of_rms
from mlproject.recommendation.setting import Setting


def setting(rm: str, gold_P: np.ndarray) -> Setting:
    """A curve that rises to `gold_P` in one step, so that the choice of its peak is not in doubt."""
    gold_SP = np.stack([np.zeros_like(gold_P), gold_P])
    return Setting("best-of-n", rm, 0, {0: Curve(np.array([1, 8]), np.array([0.0, 1.2]), gold_SP, gold_SP)})


def draw(rng: np.random.Generator, prompts: int, difference: float, sd: float) -> list[Setting]:
    """Two reward models whose gold differs by `difference`, with a paired standard deviation of `sd`."""
    shared_P = rng.normal(3.0, 1.0, prompts)
    return [
        setting("a", shared_P + difference + rng.normal(0, sd / 2**0.5, prompts)),
        setting("b", shared_P + rng.normal(0, sd / 2**0.5, prompts)),
    ]


def test_the_interval_of_two_is_the_paired_t_interval():
    settings = draw(np.random.default_rng(0), 400, 0.1, 1.0)
    [pair] = pairs_of_rms(settings)
    gap_P = settings[0].peak_gold_P - settings[1].peak_gold_P
    gap_P = gap_P if pair.better == "a" else -gap_P
    half = t_975(399) * gap_P.std(ddof=1) / 20
    assert pair.difference == pytest.approx(gap_P.mean())
    assert pair.interval == pytest.approx((gap_P.mean() - half, gap_P.mean() + half), abs=0.1 * half)
    assert pair.is_told == (pair.interval[0] > 0)


def test_on_the_number_of_prompts_that_is_named_the_difference_is_told_in_four_of_five_cases():
    rng = np.random.default_rng(1)
    sd, difference = 1.0, 0.1
    wanted = ((1.96 + 0.8416) * sd / difference) ** 2  # the textbook's
    assert wanted == pytest.approx(785, abs=1)
    told = np.mean([pairs_of_rms(draw(rng, 785, difference, sd))[0].is_told for _ in range(300)])
    assert told == pytest.approx(0.8, abs=0.07)
    gaps = [pair for _ in range(50) for pair in pairs_of_rms(draw(rng, 200, difference, sd))]
    for pair in gaps:
        if pair.prompts_needed:
            assert pair.prompts_needed**0.5 == pytest.approx(785**0.5 * difference / pair.difference, rel=0.2)
        assert pair.smallest_told == pytest.approx((1.96 + 0.8416) * sd / 200**0.5, rel=0.2)


def test_pairs_come_with_the_best_first_and_each_once():
    shared_P = np.random.default_rng(2).normal(1, 0.1, 100)
    settings = [setting(name, shared_P + lift) for name, lift in (("low", 0.0), ("high", 2.0), ("middle", 1.0))]
    pairs = pairs_of_rms(settings)
    assert [(p.better, p.worse) for p in pairs] == [("high", "middle"), ("high", "low"), ("middle", "low")]
    assert all(p.is_told and p.interval == pytest.approx((p.difference, p.difference)) for p in pairs)
    assert pairs_of_rms(settings[:1]) == []


def test_reward_models_that_choose_alike_need_no_number_of_prompts():
    gold_P = np.random.default_rng(3).normal(1, 1, 50)
    [pair] = pairs_of_rms([setting("a", gold_P), setting("b", gold_P)])
    assert not pair.is_told and pair.prompts_needed is None
    assert pair_sentence(pair) == "a and b choose responses of the same gold."


def test_sentences_say_what_is_told_and_what_would_tell():
    told = Pair("a", "b", 0.31, (0.1, 0.52), True, 60, 40, 0.2)
    assert pair_sentence(told) == "a is better than b: its peak gold is higher by 0.31 [0.10, 0.52]."
    tied = Pair("a", "b", 0.01, (-0.1, 0.12), False, 60, 12345, 0.13)
    assert "cannot be told apart on 60 prompts" in pair_sentence(tied)
    assert "about 12,345 prompts; these tell 0.13 (in 80 % of cases)" in pair_sentence(tied)
    assert "more than 1,000,000 prompts" in pair_sentence(Pair("a", "b", 0.0, (-0.1, 0.1), False, 60, None, 0.13))
