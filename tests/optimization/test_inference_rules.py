"""Rules that choose from the pool: best-of-Poisson, pessimistic and regularized best-of-n, against the long way."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from mlproject.estimators import BestOfN, best_of_n_weights
from mlproject.optimization import best_of_n, best_of_poisson, pessimistic_best_of_n, regularized_best_of_n
from mlproject.optimization.best_of_n import BestOfNConfig
from mlproject.optimization.best_of_poisson import BestOfPoissonConfig, best_of_poisson_kl, best_of_poisson_weights
from mlproject.optimization.pessimistic_best_of_n import PessimisticBestOfNConfig, pessimistic_weights
from mlproject.optimization.regularized_best_of_n import RegularizedBestOfNConfig, likeness

P, N = 3, 7


def test_best_of_poisson_weights_are_the_shares_of_a_simulation() -> None:
    rng, draws, mu = np.random.default_rng(0), 60_000, 2.5
    ranks = Counter(int(rng.permutation(40)[: 1 + rng.poisson(mu)].max()) for _ in range(draws))
    expected_N = best_of_poisson_weights(40, [mu])[0]
    shares_N = np.array([ranks[rank] for rank in range(40)]) / draws
    assert expected_N.sum() == pytest.approx(1, abs=1e-12)
    assert (np.abs(shares_N - expected_N) < 5 * np.sqrt(expected_N / draws) + 1e-4).all()


def test_best_of_poisson_weights_tend_to_the_density_of_the_paper() -> None:
    [weight_N] = best_of_poisson_weights(20_000, [9.0])
    quantile_N = (np.arange(20_000) + 0.5) / 20_000
    np.testing.assert_allclose(
        weight_N * 20_000, (1 + 9 * quantile_N) * np.exp(9 * (quantile_N - 1)), rtol=2e-2, atol=2e-3
    )


def test_best_of_poisson_of_mean_0_is_the_initial_policy_and_above_the_pool_all_of_it() -> None:
    np.testing.assert_allclose(best_of_poisson_weights(N, [0.0])[0], np.full(N, 1 / N), atol=1e-15)
    np.testing.assert_allclose(best_of_poisson_weights(N, [500.0])[0], best_of_n_weights(N, [N])[0], atol=1e-12)


@pytest.mark.parametrize("mu", [0.01, 0.7, 4.0, 60.0, 500.0])
def test_the_kl_of_best_of_poisson_is_the_integral(mu) -> None:
    edges = np.linspace(0, 1, 2_000_001)
    u = (edges[1:] + edges[:-1]) / 2
    density = (1 + mu * u) * np.exp(mu * (u - 1))
    assert best_of_poisson_kl([mu])[0] == pytest.approx((density * np.log(density)).mean(), rel=1e-6, abs=1e-9)


def test_points_of_best_of_poisson_are_means_over_its_weights(pool_task) -> None:
    setting = pool_task(BestOfPoissonConfig(bon_n_max=4, bon_points=4))
    points = list(best_of_poisson.optimize(setting.task))
    assert [point.step for point in points] == [1, 2, 3, 4]
    order_PN, weights_GN = setting.proxy_PN.argsort(axis=1), best_of_poisson_weights(N, [0, 1, 2, 3])
    for point, weight_N in zip(points, weights_GN, strict=True):
        for p in range(P):
            expected = sum(w * setting.pool.gold_PN[p, i] for w, i in zip(weight_N, order_PN[p], strict=True))
            assert point.gold_P[p] == pytest.approx(expected - setting.pool.gold_PN[p].mean(), abs=1e-12)
        assert point.kl == best_of_poisson_kl([point.step - 1])[0]
        assert point.diagnostics == {"effective_samples": pytest.approx(1 / sum(w * w for w in weight_N))}


@pytest.mark.parametrize("strength", [0.01, 0.5, 3.0, 1e3])
def test_pessimistic_weights_satisfy_their_constraint(strength) -> None:
    proxy_PN = np.random.default_rng(1).normal(size=(20, 50))
    weight_PN = pessimistic_weights(proxy_PN, strength)
    np.testing.assert_allclose(weight_PN.sum(axis=1), 50, atol=1e-9 * 50)
    for weight_N, proxy_N in zip(weight_PN, proxy_PN, strict=True):
        positive = weight_N > 0
        [threshold] = {round(float(each), 6) for each in (proxy_N - weight_N / strength)[positive]}
        assert (proxy_N[~positive] <= threshold + 1e-6).all()


def test_no_other_choice_is_better_by_proxy_less_chi_squared() -> None:
    rng, strength = np.random.default_rng(2), 1.7
    proxy_N = rng.normal(size=N)

    def objective(probability_N: np.ndarray) -> float:
        return float(probability_N @ proxy_N - N * np.square(probability_N).sum() / 2 / strength)

    best = objective(pessimistic_weights(proxy_N[None], strength)[0] / N)
    assert all(objective(rng.dirichlet(np.full(N, shape))) < best for shape in (0.1, 1.0, 10.0) for _ in range(300))


def test_pessimism_runs_from_the_initial_policy_to_the_best_sample(pool_task) -> None:
    points = list(pessimistic_best_of_n.optimize(pool_task(PessimisticBestOfNConfig(bon_points=5)).task))
    *_, best = best_of_n.optimize(pool_task(BestOfNConfig(bon_n_max=N, bon_points=N)).task)
    assert (points[0].step, points[0].kl) == (0, 0.0) and points[-1].step == 25_600
    np.testing.assert_allclose(points[0].gold_P, 0, atol=1e-15)
    np.testing.assert_allclose(points[-1].gold_P, best.gold_P, atol=1e-9)
    assert points[-1].kl == pytest.approx(math.log(N)) and (np.diff([point.kl for point in points]) >= 0).all()


def test_likeness_is_the_mean_cosine_of_token_counts(pool_task) -> None:
    [responses] = pool_task(BestOfNConfig(bon_n_max=2, bon_points=2)).task.samples.blocks()
    sequences = responses.sequences
    spans = zip(sequences.ids_BT.tolist(), sequences.starts_B.tolist(), sequences.ends_B.tolist(), strict=True)
    counts = [Counter(row[start:end]) for row, start, end in spans]

    def cosine(a: Counter, b: Counter) -> float:
        dot = sum(a[token] * b[token] for token in a)
        return dot / math.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))

    for i, got in enumerate(likeness(responses, N)):
        same = counts[i // N * N : i // N * N + N]
        assert got == pytest.approx(sum(cosine(counts[i], other) for other in same) / N, abs=1e-12)


def test_regularized_best_of_n_selects_by_the_sum_and_reports_the_proxy(pool_task) -> None:
    plain = list(best_of_n.optimize(pool_task(BestOfNConfig(bon_n_max=N, bon_points=3)).task))
    free = list(
        regularized_best_of_n.optimize(pool_task(RegularizedBestOfNConfig(bon_n_max=N, bon_points=3, mbr_beta=0)).task)
    )
    for own, expected in zip(free, plain, strict=True):
        np.testing.assert_array_equal(own.gold_P, expected.gold_P)
        assert own.kl == expected.kl
    setting = pool_task(RegularizedBestOfNConfig(bon_n_max=N, bon_points=3, mbr_beta=50.0))
    *_, end = regularized_best_of_n.optimize(setting.task)
    [responses] = setting.task.samples.blocks()
    chosen_P = (setting.proxy_PN + 50 * likeness(responses, N).reshape(P, N)).argmax(axis=1)
    expected_P = setting.proxy_PN[np.arange(P), chosen_P] - setting.proxy_PN.mean(axis=1)
    np.testing.assert_allclose(end.proxy_P, expected_P, atol=1e-12)
    assert not np.allclose(end.proxy_P, plain[-1].proxy_P)


def test_drawn_samples_have_the_weights_of_their_ranks() -> None:
    rng, draws = np.random.default_rng(3), 40_000
    proxy_N = rng.normal(size=N)
    select = BestOfN(np.tile(proxy_N, (draws, 1)), [1, 3])
    drawn_GP = select.draw(rng.random(draws))
    for row_P, weight_N in zip(drawn_GP, best_of_n_weights(N, [1, 3]), strict=True):
        shares_N = np.bincount(row_P, minlength=N)[proxy_N.argsort()] / draws
        np.testing.assert_allclose(shares_N, weight_N, atol=5 * np.sqrt(0.25 / draws))
