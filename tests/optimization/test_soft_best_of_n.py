"""Soft best-of-n against sums written out sample by sample, and its two limits."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mlproject.optimization import best_of_n, find_method, soft_best_of_n
from mlproject.optimization.best_of_n import BestOfNConfig
from mlproject.optimization.soft_best_of_n import SoftBestOfNConfig, relative_weights
from mlproject.optimization.weighted_choice import draw, strength_steps

P, N = 3, 7
OPTIONS = SoftBestOfNConfig(bon_points=4, soft_bon_lambda_max=64.0)


@pytest.fixture
def setting(pool_task) -> SimpleNamespace:
    return pool_task(OPTIONS)


def test_every_point_is_the_expectation_under_probabilities_proportional_to_exp_lambda_r(setting) -> None:
    pool = setting.pool
    points = list(soft_best_of_n.optimize(setting.task))
    assert [point.step for point in points] == [0, 25, 400, 6400]  # lambda 0, then from 1/4 to 64 by factors of 16
    for point in points:
        kl = effective = length = 0.0
        for p in range(P):
            unnormalized = [math.exp(point.step / 100 * (r - max(setting.proxy_PN[p]))) for r in setting.proxy_PN[p]]
            probability = [u / sum(unnormalized) for u in unnormalized]
            kl += sum(q * math.log(q * N) for q in probability if q > 0) / P
            effective += 1 / sum(q * q for q in probability) / P
            length += sum(q * v for q, v in zip(probability, pool.samples.statistic("length")[p], strict=True)) / P
            for got_P, value_PN in (
                (point.proxy_P, setting.proxy_PN),
                (point.gold_P, pool.gold_PN),
                (point.human_P, pool.human_PN),
            ):
                expected = sum(q * v for q, v in zip(probability, value_PN[p], strict=True)) - sum(value_PN[p]) / N
                assert got_P[p] == pytest.approx(expected, abs=1e-12)
        assert point.kl == pytest.approx(kl, abs=1e-12)
        assert point.diagnostics == {"effective_samples": pytest.approx(effective)}
        assert point.statistics["length"] == pytest.approx(length)


def test_lambda_0_is_the_initial_policy(setting) -> None:
    start = next(soft_best_of_n.optimize(setting.task))
    assert (start.step, start.kl, start.diagnostics["effective_samples"]) == (0, 0.0, N)
    for values_P in (start.proxy_P, start.gold_P, start.human_P):
        np.testing.assert_allclose(values_P, 0, atol=1e-15)


def test_a_large_lambda_is_best_of_n(setting, pool_task) -> None:
    *_, end = soft_best_of_n.optimize(replace(setting.task, config=replace(OPTIONS, soft_bon_lambda_max=1000.0)))
    *_, best = best_of_n.optimize(pool_task(BestOfNConfig(bon_n_max=N, bon_points=N)).task)
    np.testing.assert_allclose(end.proxy_P, best.proxy_P, atol=1e-9)
    np.testing.assert_allclose(end.gold_P, best.gold_P, atol=1e-9)
    assert end.kl == pytest.approx(math.log(N), abs=1e-9)
    assert end.diagnostics["effective_samples"] == pytest.approx(1)


def test_no_other_choice_from_the_pool_has_a_higher_proxy_score_at_its_kl() -> None:
    rng = np.random.default_rng(1)
    proxy_N, lambda_ = rng.normal(size=N), 1.3

    def objective(probability_N: np.ndarray) -> float:
        positive = probability_N[probability_N > 0]
        return float(probability_N @ proxy_N - (positive * np.log(positive * N)).sum() / lambda_)

    best = objective(relative_weights(proxy_N[None], lambda_)[0] / N)
    assert all(objective(rng.dirichlet(np.full(N, shape))) < best for shape in (0.1, 1.0, 10.0) for _ in range(300))


def test_samples_are_drawn_with_their_probabilities_and_never_get_worse_with_lambda() -> None:
    rng = np.random.default_rng(2)
    proxy_N, draws = rng.normal(size=N), 40_000
    proxy_PN, quantile_P = np.tile(proxy_N, (draws, 1)), rng.random(draws)
    share_N = np.bincount(draw(proxy_PN, relative_weights(proxy_PN, 0.7), quantile_P), minlength=N) / draws
    probability_N = np.exp(0.7 * proxy_N) / np.exp(0.7 * proxy_N).sum()
    np.testing.assert_allclose(share_N, probability_N, atol=5 * np.sqrt(0.25 / draws))
    scores_GP = np.stack(
        [proxy_N[draw(proxy_PN, relative_weights(proxy_PN, each), quantile_P)] for each in (0.0, 0.5, 2.0, 50.0)]
    )
    assert (np.diff(scores_GP, axis=0) >= 0).all() and (scores_GP[-1] > scores_GP[0]).any()


def test_equal_scores_share_their_probability_and_huge_ones_do_not_overflow() -> None:
    weight_PN = relative_weights(np.array([[0.0, 5.0, 5.0, 0.0], [-1e5, 0.0, 1e5, 0.0]]), 1000.0)
    assert weight_PN.tolist() == [[0.0, 2.0, 2.0, 0.0], [0.0, 0.0, 4.0, 0.0]]


def test_steps_are_read_as_hundredths_of_lambda() -> None:
    method = find_method("soft-best-of-n")
    assert method.place(250) == "100 λ = 250"
    assert OPTIONS.last_step == 6400
    assert OPTIONS.params() == {"bon_points": 4}
    assert replace(OPTIONS, soft_bon_lambda_max=8.0).params() == {"bon_points": 4, "soft_bon_lambda_max": 8.0}


def test_a_small_range_of_lambda_has_fewer_points_rather_than_equal_ones() -> None:
    steps = strength_steps(100, 40, 256)
    assert steps[0] == 0 and steps[-1] == 100 and (np.diff(steps) > 0).all() and len(steps) < 40
