"""Best-of-n estimators against brute force over all subsets; KL estimators against exact enumeration."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray

from mlproject.estimators import (
    BestOfN,
    beirami_kl,
    best_of_n_kl_bound,
    best_of_n_weights,
    effective_sample_size,
    k1,
    k2,
    k3,
    kl_from_logits,
    n_grid,
    selection,
)

Array = NDArray[np.float64]


def brute_force(proxy_N: Array, values_N: Array, n: int) -> float:
    """Mean over all subsets of size n of the value of the best by proxy, ties broken evenly."""
    best_values = []
    for subset in map(list, combinations(range(len(proxy_N)), n)):
        best = proxy_N[subset] == proxy_N[subset].max()
        best_values.append(values_N[subset][best].mean())
    return float(np.mean(best_values))


@pytest.mark.parametrize("distinct", [None, 5, 2, 1])
@pytest.mark.parametrize("N", [1, 2, 7, 12])
def test_best_of_n_equals_the_mean_over_all_subsets_with_and_without_ties(N: int, distinct: int | None) -> None:
    rng = np.random.default_rng(N)
    proxy_PN = rng.normal(size=(3, N)) if distinct is None else rng.integers(distinct, size=(3, N)).astype(float)
    gold_PN = rng.normal(size=(3, N))
    ns = np.arange(1, N + 1)
    expected_GP = [[brute_force(proxy_PN[p], gold_PN[p], n) for p in range(3)] for n in ns]
    np.testing.assert_allclose(BestOfN(proxy_PN, ns)(gold_PN), expected_GP, rtol=0, atol=1e-12)


def test_a_pool_worked_on_in_blocks_gives_what_each_prompt_gives_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    proxy_PN, gold_PN = rng.integers(6, size=(7, 10)).astype(np.float32), rng.normal(size=(7, 10))
    proxy_PN[3] = np.arange(10)  # a prompt without ties beside those with ties
    alone_GP = np.concatenate([BestOfN(proxy_PN[[p]], [1, 3, 10])(gold_PN[[p]]) for p in range(7)], axis=1)
    monkeypatch.setattr(selection, "_BLOCK", 20)  # two prompts at once, the last block half full
    np.testing.assert_allclose(BestOfN(proxy_PN, [1, 3, 10])(gold_PN), alone_GP, rtol=0, atol=1e-14)


def test_proxy_and_gold_are_reordered_together() -> None:
    """Gold that is a function of proxy stays that function of the chosen sample, whatever the order."""
    proxy_PN = np.random.default_rng(0).normal(size=(4, 50))
    select = BestOfN(proxy_PN, [1, 50])
    np.testing.assert_allclose(select(np.exp(proxy_PN))[1], np.exp(select(proxy_PN)[1]), rtol=1e-14)
    np.testing.assert_allclose(select(proxy_PN)[1], proxy_PN.max(axis=1), rtol=1e-14)
    np.testing.assert_allclose(select(proxy_PN)[0], proxy_PN.mean(axis=1), atol=1e-14)


def test_best_of_n_is_unbiased_for_the_maximum_of_fresh_samples() -> None:
    """Uniform proxy: the expected maximum of n is n/(n+1), whatever the size of the pool."""
    ns = np.array([1, 4, 20])
    pool_PN = np.random.default_rng(1).uniform(size=(4000, 20))
    chosen_GP = BestOfN(pool_PN, ns)(pool_PN)
    standard_errors = chosen_GP.std(axis=1) / np.sqrt(4000)
    assert np.all(np.abs(chosen_GP.mean(axis=1) - ns / (ns + 1)) < 4 * standard_errors)


def test_weights_sum_to_one_for_a_hundred_thousand_samples() -> None:
    weights_GN = best_of_n_weights(100_000, n_grid(100_000, 20))
    np.testing.assert_allclose(weights_GN.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    assert np.all(weights_GN >= 0)


def test_weights_of_large_pools_match_exact_rational_arithmetic() -> None:
    N, n = 5000, 300
    weights_N = best_of_n_weights(N, [n])[0]
    for rank in (5000, 4990, 4500, 3000):
        exact = comb(rank - 1, n - 1) / comb(N, n)  # Python integers: exact up to the one division
        assert weights_N[rank - 1] == pytest.approx(exact, rel=1e-11)


def test_effective_samples_fall_from_all_of_them_to_one() -> None:
    """Closed ends, and the numbers of science.md 1.5 between them."""
    assert effective_sample_size(1000, 1) == pytest.approx(1000)
    assert effective_sample_size(1000, 10) == pytest.approx(189, abs=1)
    assert effective_sample_size(1000, 100) == pytest.approx(18.9, abs=0.1)
    assert effective_sample_size(1000, 1000) == pytest.approx(1)


@pytest.mark.parametrize("ns", [[0, 1], [1, 6]])
def test_an_n_outside_the_pool_is_refused(ns: list[int]) -> None:
    with pytest.raises(ValueError, match=r"n in 1\.\.5"):
        BestOfN(np.zeros((2, 5)), ns)


def test_scores_that_are_no_number_or_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        BestOfN([[0.0, np.nan]], [1])
    with pytest.raises(ValueError, match="shape"):
        BestOfN(np.zeros((2, 5)), [1])(np.zeros((5, 2)))


@pytest.mark.parametrize(("n_max", "points"), [(60_000, 60), (64, 40), (7, 60), (2, 2), (1, 5), (1000, 2)])
def test_the_grid_of_n_has_as_many_distinct_integers_as_asked_and_both_ends(n_max: int, points: int) -> None:
    ns = n_grid(n_max, points)
    assert (ns[0], ns[-1], len(ns)) == (1, n_max, min(points, n_max))
    assert np.all(np.diff(ns) > 0)


def test_the_grid_of_n_is_log_spaced_once_integers_allow_it() -> None:
    ns = n_grid(60_000, 60)
    ratios = np.diff(np.log(ns[ns > 100]))
    assert ratios.max() - ratios.min() < 0.02


@pytest.mark.parametrize(("n_max", "points"), [(0, 5), (10, 1)])
def test_an_impossible_grid_of_n_is_refused(n_max: int, points: int) -> None:
    with pytest.raises(ValueError, match="n_max"):
        n_grid(n_max, points)


def test_the_bound_has_the_values_of_the_paper() -> None:
    """Gao et al. 2022: n = 1,000 is 5.91 nats, n = 60,000 is 10.00 nats."""
    np.testing.assert_allclose(best_of_n_kl_bound([1, 1000, 60_000]), [0.0, 5.909, 10.002], atol=1e-3)


def exact_best_of_n_kl(probabilities: Array, n: int) -> tuple[Array, float]:
    """Best-of-n over outcomes by ascending reward: its distribution and its KL from the initial one."""
    cumulative = np.concatenate([[0.0], np.cumsum(probabilities)])
    chosen = np.diff((cumulative / cumulative[-1]) ** n)
    support = chosen > 0
    return chosen, float(np.sum(chosen[support] * np.log(chosen[support] / probabilities[support])))


def test_beirami_follows_the_exact_kl_where_the_bound_does_not() -> None:
    """Uniform over 100 responses, n = 256 (science.md 2.12): true 4.314, bound 4.549, estimate 4.332."""
    probabilities = np.full(100, 0.01)
    chosen, exact = exact_best_of_n_kl(probabilities, 256)
    estimate = float(np.sum(chosen * beirami_kl(np.log(probabilities), 256)))
    assert exact == pytest.approx(4.314, abs=5e-4)
    assert estimate == pytest.approx(4.332, abs=5e-4)
    assert best_of_n_kl_bound(256) == pytest.approx(4.549, abs=5e-4)


def test_beirami_is_nearer_to_the_exact_kl_than_the_bound_for_uneven_responses() -> None:
    """Slightly nearer for few draws, much nearer once most responses have been seen."""
    probabilities = np.random.default_rng(0).dirichlet(np.full(50, 0.5))
    for n, share_of_error in ((4, 1.0), (16, 0.8), (64, 0.5), (256, 0.25)):
        chosen, exact = exact_best_of_n_kl(probabilities, n)
        estimate = float(np.sum(chosen * beirami_kl(np.log(probabilities), n)))
        assert abs(estimate - exact) < share_of_error * abs(best_of_n_kl_bound(n) - exact)


def test_beirami_is_stable_from_impossible_to_certain_responses_and_below_the_bound() -> None:
    log_eps = np.concatenate([-np.geomspace(1e-18, 5000, 400), [0.0]])[:, None]
    ns = np.array([1, 2, 16, 1000, 60_000])
    kl = beirami_kl(log_eps, ns)
    assert kl.shape == (401, 5)
    assert np.all(kl <= best_of_n_kl_bound(ns) + 1e-12)
    assert np.all(kl >= -1e-12)
    np.testing.assert_allclose(kl[-2], best_of_n_kl_bound(ns), atol=1e-12)  # eps = e^-5000: no response repeats
    np.testing.assert_array_equal(kl[-1], 0.0)  # a certain response: nothing to choose from
    np.testing.assert_allclose(kl[:, 0], 0.0, atol=1e-12)  # n = 1 is the initial policy


def test_k1_and_k3_average_to_the_exact_kl_and_k2_to_half_the_mean_square() -> None:
    rng = np.random.default_rng(0)
    logits_a, logits_b = rng.normal(size=(2, 8))
    log_a, log_b = (logits - np.log(np.exp(logits).sum()) for logits in (logits_a, logits_b))
    a, log_ratio = np.exp(log_a), log_a - log_b
    exact = float(np.sum(a * log_ratio))
    assert float(a @ k1(log_ratio)) == pytest.approx(exact, rel=1e-12)
    assert float(a @ k3(log_ratio)) == pytest.approx(exact, rel=1e-12)
    assert float(a @ k2(log_ratio)) == pytest.approx(0.5 * float(a @ log_ratio**2), rel=1e-12)
    assert float(kl_from_logits(logits_a, logits_b)) == pytest.approx(exact, rel=1e-12)
    assert np.all(k3(log_ratio) > 0)
    assert np.any(k1(log_ratio) < 0)


def test_kl_from_logits_matches_scalar_sums_and_ignores_shifts_and_excluded_tokens() -> None:
    rng = np.random.default_rng(1)
    logits_a, logits_b = rng.normal(size=(2, 3, 4, 5))
    logits_a[0, 0, 2] = logits_b[0, 0, 2] = -np.inf
    kl_PT = kl_from_logits(logits_a + 1000.0, logits_b - 1000.0)
    for index in np.ndindex(3, 4):
        a, b = np.exp(logits_a[index]), np.exp(logits_b[index])
        a, b = a / a.sum(), b / b.sum()
        exact = sum(p * np.log(p / q) for p, q in zip(a, b, strict=True) if p > 0)
        assert kl_PT[index] == pytest.approx(exact, abs=1e-10)


def test_k3_of_responses_that_one_policy_alone_can_give_is_infinite():
    assert k3([np.inf, -np.inf]).tolist() == [np.inf, np.inf]
    assert k3(-800.0) == np.inf  # e^800 is beyond float64
