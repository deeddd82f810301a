"""Simultaneous comparisons against textbook values and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.recommendation.doubt import SeedSpread, better_than, interval_of_run


def test_the_pooled_spread_is_the_pooled_standard_deviation():
    groups = [[1.0, 1.4], [0.2, 0.0, 0.4], [5.0]]
    spread = SeedSpread.pooled(groups)
    assert spread.dof == 3 and spread.known
    assert spread.sd == pytest.approx(np.sqrt((0.08 + 0.08) / 3))
    assert not SeedSpread.pooled([[1.0], [2.0]]).known


@pytest.mark.parametrize("difference, is_told", [(0.5, False), (0.8, True)])
def test_two_independent_groups_are_told_apart_as_by_the_range_of_two(difference, is_told):
    """With two rows the critical value is the two-sided 5 % point of Student's t."""
    rng = np.random.default_rng(0)
    noise_CP = rng.standard_normal((2, 30))
    noise_CP -= noise_CP.mean(axis=1, keepdims=True)
    shifted_CP = noise_CP + np.array([[difference], [0.0]])
    difference_P = shifted_CP[0] - shifted_CP[1]
    t = difference_P.mean() / (difference_P.std(ddof=1) / np.sqrt(30))
    assert (t > 2.045) == is_told  # 97.5 % point of t with 29 degrees of freedom
    assert better_than(shifted_CP).tolist() == [[False, is_told], [False, False]]


def test_what_all_prompts_share_cancels():
    rng = np.random.default_rng(1)
    shared_P, small_CP = 10 * rng.standard_normal(50), 0.01 * rng.standard_normal((2, 50))
    better_CC = better_than(shared_P + small_CP + np.array([[0.1], [0.0]]))
    assert better_CC.tolist() == [[False, True], [False, False]]


def test_a_difference_without_noise_is_certain_and_no_difference_is_none():
    constant_CP = np.array([[1.0] * 5, [0.5] * 5, [0.5] * 5])
    assert better_than(constant_CP).tolist() == [[False, True, True], [False] * 3, [False] * 3]


def test_the_spread_of_seeds_can_hide_a_difference_that_prompts_alone_would_tell():
    scores_CP = np.random.default_rng(2).standard_normal((2, 400)) * 0.1 + np.array([[0.1], [0.0]])
    assert better_than(scores_CP)[0, 1]
    assert not better_than(scores_CP, np.array([0.01, 0.01]), extra_dof=4)[0, 1]


def test_equal_means_are_told_apart_in_at_most_five_percent_of_families():
    rng = np.random.default_rng(3)
    families = [better_than(rng.standard_normal((6, 40)) + rng.standard_normal(40)).any() for _ in range(300)]
    assert 0.02 < np.mean(families) < 0.085  # 5 % +- 2.8 standard errors


def test_the_interval_of_a_run_is_students_over_prompts_and_wider_with_seeds():
    scores_P = np.array([0.1, 0.5, 0.9, 0.3, 0.7])
    alone = interval_of_run(scores_P, 1, SeedSpread())
    half = 2.776 * scores_P.std(ddof=1) / np.sqrt(5)
    assert alone.value == pytest.approx(0.5) and alone.high - 0.5 == pytest.approx(half, rel=1e-3)
    seeds = interval_of_run(scores_P, 2, SeedSpread(0.2, 5))
    assert seeds.high - seeds.low > alone.high - alone.low


def test_prompts_that_do_not_vary_leave_the_other_sources_of_noise():
    flat_P = np.full(6, 0.5)
    assert interval_of_run(flat_P, 1, SeedSpread()) == (0.5, 0.5, 0.5)
    chosen = interval_of_run(flat_P, 1, SeedSpread(), choice_variance=0.01)
    assert chosen.high - 0.5 == pytest.approx(1.96 * 0.1, rel=1e-3)  # its degrees of freedom are not known


def test_a_further_run_lies_in_its_interval_as_often_as_said():
    rng, inside = np.random.default_rng(4), 0
    for _ in range(400):
        seeds_K = 1.0 + 0.2 * rng.standard_normal(3)
        spread = SeedSpread.pooled([seeds_K, *(0.2 * rng.standard_normal((4, 3)))])
        prompts_P = seeds_K.mean() + 0.5 * rng.standard_normal(60)
        _, low, high = interval_of_run(prompts_P, 3, spread)
        inside += low <= 1.0 + 0.2 * rng.standard_normal() <= high
    assert 0.92 < inside / 400 < 0.98
