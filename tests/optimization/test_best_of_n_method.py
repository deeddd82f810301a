"""Best-of-n curve points against every subset of a pool, and the evaluator that makes them."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from mlproject.estimators import BestOfN, beirami_kl, best_of_n_kl_bound
from mlproject.models.sequences import decode_responses
from mlproject.optimization import best_of_n
from mlproject.optimization.best_of_n import BestOfNConfig
from mlproject.optimization.sample_pool import Pool

P, N = 3, 7


@pytest.fixture
def setting(pool_task) -> SimpleNamespace:
    return pool_task(BestOfNConfig(bon_n_max=N, bon_points=N))


def best_of_every_subset(proxy_N: np.ndarray, value_N: np.ndarray, n: int) -> float:
    """What the value of the proxy's favourite is on average over all ways to draw n of the samples."""
    chosen = [max(subset, key=lambda i: proxy_N[i]) for subset in itertools.combinations(range(len(proxy_N)), n)]
    return float(np.mean([value_N[i] for i in chosen]))


def test_every_point_equals_the_average_over_all_subsets_of_the_pool(setting) -> None:
    points = list(best_of_n.optimize(setting.task))
    pool = setting.pool
    assert [point.step for point in points] == list(range(1, N + 1))
    for point in points:
        n = point.step
        assert point.kl == pytest.approx(np.log(n) - (n - 1) / n)
        for got_P, value_PN in (
            (point.proxy_P, setting.proxy_PN),
            (point.gold_P, pool.gold_PN),
            (point.human_P, pool.human_PN),
        ):
            for p in range(P):
                expected = best_of_every_subset(setting.proxy_PN[p], value_PN[p], n) - value_PN[p].mean()
                assert got_P[p] == pytest.approx(expected, abs=1e-9)
        length_PN = pool.statistics_PN["length"]
        expected = np.mean([best_of_every_subset(setting.proxy_PN[p], length_PN[p], n) for p in range(P)])
        assert point.statistics["length"] == pytest.approx(expected)


def test_every_point_says_on_how_many_samples_it_rests_and_what_its_kl_is_where_responses_repeat(setting) -> None:
    for point in best_of_n.optimize(setting.task):
        n, log_prob_PN = point.step, setting.pool.log_prob_PN
        kl = [best_of_every_subset(setting.proxy_PN[p], beirami_kl(log_prob_PN[p], n), n) for p in range(P)]
        assert point.diagnostics["kl_true"] == pytest.approx(np.mean(kl), abs=1e-9)
        chance = [math.comb(i, n - 1) / math.comb(N, n) for i in range(N)]
        assert point.diagnostics["effective_samples"] == pytest.approx(1 / sum(w * w for w in chance))


def test_the_true_kl_follows_exact_enumeration_where_the_bound_is_too_high() -> None:
    """A policy with 40 responses, so that best of 256 draws the same ones again and again."""
    rng = np.random.default_rng(0)
    probability_Y, reward_Y = rng.dirichlet(np.ones(40)), rng.permutation(40)
    drawn_PN = rng.choice(40, size=(200, 1024), p=probability_Y)
    select, n = BestOfN(reward_Y[drawn_PN].astype(float), [256]), 256
    estimate = select(beirami_kl(np.log(probability_Y)[drawn_PN], n), index=0).mean()
    order = reward_Y.argsort()
    below_Y = np.concatenate([[0.0], np.cumsum(probability_Y[order])])
    chosen_Y = np.diff(below_Y**n)
    exact = sum(c * math.log(c / q) for c, q in zip(chosen_Y, probability_Y[order], strict=True) if c > 0)
    bound = float(best_of_n_kl_bound(n))
    assert abs(estimate - exact) < 0.3 * (bound - exact)
    assert bound > exact + 0.3


def test_a_curve_starts_at_zero_and_its_proxy_only_rises(setting) -> None:
    points = list(best_of_n.optimize(setting.task))
    for values_P in (points[0].proxy_P, points[0].gold_P, points[0].human_P):
        np.testing.assert_allclose(values_P, 0, atol=1e-12)
    assert (np.diff([point.proxy_P for point in points], axis=0) > 0).all()


def test_the_responses_shown_are_what_the_proxy_likes_best_among_the_first_n(setting) -> None:
    for point in best_of_n.optimize(setting.task):
        snapshot = setting.evaluator.snapshot
        assert snapshot.point is point
        best = [p * N + int(np.argmax(setting.proxy_PN[p, : snapshot.point.step])) for p in range(P)]
        assert list(snapshot.responses) == [setting.responses[i] for i in best]
        gold = setting.pool.gold_PN
        np.testing.assert_allclose(snapshot.gold, gold.reshape(-1)[best] - gold.mean())
        assert snapshot.policy is None


def test_choosing_blindly_gains_nothing(setting) -> None:
    blind = lambda values_PN: values_PN.mean(axis=1)[None]  # noqa: E731
    choice_GP = np.zeros((1, P), dtype=np.int64)
    (point,) = setting.evaluator.evaluate_selection([1], np.zeros(1), setting.proxy_PN, blind, choice_GP, [{}])
    for gain_P in (point.proxy_P, point.gold_P, point.human_P):
        np.testing.assert_allclose(gain_P, 0, atol=1e-12)


def test_choosing_the_best_by_gold_gains_its_distance_from_the_mean(setting) -> None:
    gold_PN = setting.pool.gold_PN
    best_P = gold_PN.argmax(axis=1)
    select = lambda values_PN: values_PN[np.arange(P), best_P][None]  # noqa: E731
    (point,) = setting.evaluator.evaluate_selection([4], np.ones(1), setting.proxy_PN, select, best_P[None], [{}])
    np.testing.assert_allclose(point.gold_P, gold_PN.max(axis=1) - gold_PN.mean(axis=1))
    assert (point.step, point.kl) == (4, 1.0)


def test_a_pool_survives_its_file(setting, tiny_tokenizer, tmp_path) -> None:
    setting.pool.save(tmp_path / "pool.safetensors")
    loaded = Pool.load(tmp_path / "pool.safetensors")
    assert decode_responses(tiny_tokenizer, loaded.sequences) == setting.responses
    assert loaded.shape == (P, N)
    for name in ("log_prob_PN", "gold_PN", "human_PN"):
        np.testing.assert_allclose(getattr(loaded, name), getattr(setting.pool, name), rtol=1e-6)
    np.testing.assert_allclose(loaded.statistics_PN["length"], setting.pool.statistics_PN["length"], rtol=1e-6)


def test_the_first_samples_of_a_pool_are_those_of_every_prompt(setting, tiny_tokenizer) -> None:
    texts = decode_responses(tiny_tokenizer, setting.pool.first(2))
    assert texts == [setting.responses[p * N + n] for p in range(P) for n in range(2)]
