"""Best-of-n curve points against every subset of a pool."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from mlproject.estimators import BestOfN, beirami_kl, best_of_n_kl_bound
from mlproject.optimization import best_of_n
from mlproject.optimization.best_of_n import BestOfNConfig, n_at_kl

P, N = 3, 7


@pytest.fixture
def setting(pool_task) -> SimpleNamespace:
    return pool_task(BestOfNConfig(bon_n_max=N, bon_points=N))


def best_of_every_subset(proxy_N: np.ndarray, value_N: np.ndarray, n: int) -> float:
    """Mean value of the sample with the highest proxy score, over all subsets of n samples."""
    chosen = [max(subset, key=lambda i: proxy_N[i]) for subset in itertools.combinations(range(len(proxy_N)), n)]
    return float(np.mean([value_N[i] for i in chosen]))


def test_every_point_equals_the_average_over_all_subsets_of_the_pool(setting) -> None:
    points = list(best_of_n.optimize(setting.task))
    pool = setting.pool
    assert [point.step for point in points] == list(range(1, N + 1))
    for point in points:
        n = point.step
        assert point.kl == pytest.approx(np.log(n) - (n - 1) / n)
        for gain_P, value_PN in (
            (point.proxy_P, setting.proxy_PN),
            (point.gold_P, pool.gold_PN),
            (point.human_P, pool.human_PN),
        ):
            for p in range(P):
                expected = best_of_every_subset(setting.proxy_PN[p], value_PN[p], n) - value_PN[p].mean()
                assert gain_P[p] == pytest.approx(expected, abs=1e-9)
        length_PN = pool.samples.statistic("length")
        expected = np.mean([best_of_every_subset(setting.proxy_PN[p], length_PN[p], n) for p in range(P)])
        assert point.statistics["length"] == pytest.approx(expected)


def test_every_point_has_its_effective_samples_and_the_kl_where_responses_repeat(setting) -> None:
    for point in best_of_n.optimize(setting.task):
        n, log_prob_PN = point.step, setting.pool.samples.log_prob_PN
        kl = [best_of_every_subset(setting.proxy_PN[p], beirami_kl(log_prob_PN[p], n), n) for p in range(P)]
        assert point.diagnostics["kl_true"] == pytest.approx(np.mean(kl), abs=1e-9)
        chance = [math.comb(i, n - 1) / math.comb(N, n) for i in range(N)]
        assert point.diagnostics["effective_samples"] == pytest.approx(1 / sum(w * w for w in chance))


def test_the_true_kl_follows_exact_enumeration_where_the_bound_is_too_high() -> None:
    """A policy with 40 responses, so that best of 256 draws the same ones again and again."""
    rng = np.random.default_rng(0)
    probability_U, reward_U = rng.dirichlet(np.ones(40)), rng.permutation(40)
    drawn_PN = rng.choice(40, size=(200, 1024), p=probability_U)
    select, n = BestOfN(reward_U[drawn_PN].astype(float), [256]), 256
    estimate = select(beirami_kl(np.log(probability_U)[drawn_PN], n), index=0).mean()
    order = reward_U.argsort()
    below_U = np.concatenate([[0.0], np.cumsum(probability_U[order])])
    chosen_U = np.diff(below_U**n)
    exact = sum(c * math.log(c / q) for c, q in zip(chosen_U, probability_U[order], strict=True) if c > 0)
    bound = float(best_of_n_kl_bound(n))
    assert abs(estimate - exact) < 0.3 * (bound - exact)
    assert bound > exact + 0.3


def test_a_curve_starts_at_zero_and_its_proxy_only_rises(setting) -> None:
    points = list(best_of_n.optimize(setting.task))
    for values_P in (points[0].proxy_P, points[0].gold_P, points[0].human_P):
        np.testing.assert_allclose(values_P, 0, atol=1e-12)
    assert (np.diff([point.proxy_P for point in points], axis=0) > 0).all()


def test_the_snapshot_holds_the_responses_with_the_highest_proxy_score_among_the_first_n(setting) -> None:
    for point in best_of_n.optimize(setting.task):
        snapshot = setting.evaluator.snapshot
        assert snapshot.point is point
        best = [p * N + int(np.argmax(setting.proxy_PN[p, : snapshot.point.step])) for p in range(P)]
        assert list(snapshot.responses) == [setting.responses[i] for i in best]
        gold = setting.pool.gold_PN
        np.testing.assert_allclose(snapshot.gold, gold.reshape(-1)[best] - gold.mean())
        assert snapshot.policy is None


def test_the_n_at_a_kl_is_the_one_whose_bound_is_nearest() -> None:
    bounds = best_of_n_kl_bound(np.arange(1, 5000))
    for kl in [-1.0, 0.0, 0.01, 0.1, 0.19, 0.3, 1.0, 2.5, 4.7, 7.4]:
        assert n_at_kl(kl) == 1 + np.abs(bounds - max(kl, 0.0)).argmin()
    assert n_at_kl(1e9) == n_at_kl(40.0) > 1e17
