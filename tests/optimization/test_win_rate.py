"""Win rates against the initial policy, from all pairs and all subsets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mlproject.estimators import BestOfN
from mlproject.optimization.win_rate import win_rate_P, win_rate_PN


def beats(one: float, other: float) -> float:
    return 1.0 if one > other else 0.5 if one == other else 0.0


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    """Gold scores with ties: (P, M) of a policy and (P, N) of a pool."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 5, (3, 4)).astype(float), rng.integers(0, 5, (3, 8)).astype(float)


def test_the_win_rate_of_a_policy_is_that_of_all_pairs(scores) -> None:
    policy_PM, pool_PN = scores
    expected = [
        np.mean([beats(a, b) for a in ours for b in theirs]) for ours, theirs in zip(policy_PM, pool_PN, strict=True)
    ]
    assert win_rate_P(policy_PM, pool_PN) == pytest.approx(expected)


def test_a_policy_that_gives_the_samples_of_the_pool_wins_half(scores) -> None:
    assert win_rate_P(scores[1], scores[1]) == pytest.approx(0.5)
    assert win_rate_PN(scores[1]).mean(axis=1) == pytest.approx(0.5)


def test_a_sample_is_compared_with_the_others_of_its_prompt(scores) -> None:
    for row, given in zip(win_rate_PN(scores[1]), scores[1], strict=True):
        for i, value in enumerate(row):
            assert value == pytest.approx(np.mean([beats(given[i], given[j]) for j in range(8) if j != i]))


@pytest.mark.parametrize("n", [1, 2, 4])
def test_best_of_n_is_within_its_bound_of_all_subsets_against_all_samples_outside_of_them(n: int) -> None:
    rng = np.random.default_rng(1)
    gold = rng.normal(size=9)
    proxy = gold + rng.normal(size=9)
    exact = np.mean(
        [
            beats(gold[max(chosen, key=lambda i: proxy[i])], gold[j])
            for chosen in itertools.combinations(range(9), n)
            for j in set(range(9)) - set(chosen)
        ]
    )
    estimate = float(BestOfN(proxy[None], [n])(win_rate_PN(gold[None]))[0, 0])
    assert abs(estimate - exact) < 1 / (9 - n)
    assert n > 1 or estimate == pytest.approx(exact)


def test_scores_that_differ_beyond_single_precision_tie() -> None:
    assert win_rate_P(np.array([[1.0 + 1e-12]]), np.array([[1.0, 1.0]])) == pytest.approx(0.5)
