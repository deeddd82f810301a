"""HedgeTune's choice of n against the closed form of a gold score that is a polynomial in the proxy's rank."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject import hedged_n

RANKS = (np.arange(4000) + 0.5) / 4000


def best_n(power: int, weight: float) -> float:
    """Where n/(n + 1) - weight n/(n + power), the mean of u - weight u^power under n u^(n-1), is highest."""
    n = np.geomspace(1, 1000, 200_001)
    return float(n[(n / (n + 1) - weight * n / (n + power)).argmax()])


@pytest.mark.parametrize(("power", "weight"), [(9, 0.8), (30, 0.9), (60, 1.5), (4, 0.99)])
def test_the_choice_is_the_peak_of_the_exact_curve(power: int, weight: float) -> None:
    assert hedged_n(RANKS, RANKS - weight * RANKS**power, 1000) == pytest.approx(best_n(power, weight), rel=0.01)


def test_samples_of_high_ranks_count_by_their_density() -> None:
    rng = np.random.default_rng(1)
    rank = rng.uniform(size=20_000) ** (1 / 8)  # the best of eight
    chosen = hedged_n(rank, rank - 0.9 * rank**30, 1000, density_B=8 * rank**7)
    assert chosen == pytest.approx(best_n(30, 0.9), rel=0.1)
    assert chosen != pytest.approx(hedged_n(rank, rank - 0.9 * rank**30, 1000), rel=0.3)


def test_gold_that_always_rises_or_always_falls_leads_to_an_end() -> None:
    assert hedged_n(RANKS, RANKS, 64) == 64
    assert hedged_n(RANKS, -RANKS, 64) == 1


def test_random_labels_lead_near_the_peak_and_a_constant_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    rank = rng.uniform(size=40_000)
    gold = rank - 0.8 * rank**9
    noisy = gold + rng.normal(scale=0.1, size=len(rank))
    assert hedged_n(rank, noisy - gold.mean(), 100) == pytest.approx(best_n(9, 0.8), rel=0.2)


@pytest.mark.parametrize(
    ("ranks", "gold", "n_max"), [([0.0, 0.5], [1, 2], 4), ([0.5], [1, 2], 4), ([], [], 4), ([0.5], [1], 0.5)]
)
def test_what_is_no_set_of_labels_is_refused(ranks: list[float], gold: list[float], n_max: float) -> None:
    with pytest.raises(ValueError, match="rank"):
        hedged_n(ranks, gold, n_max)
