"""Functions that findings share: means, trends, ranks, and scores at a KL."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.experiments.findings.evidence import (
    gold_at,
    mean_interval,
    methods_of,
    peak_is_inside,
    proxy_at,
    rank_correlations,
    ratio_interval,
    seeds_of,
    select,
    slope_interval,
    values_of,
)
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate

T_975 = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 9: 2.2622, 14: 2.1448, 29: 2.0452, 119: 1.9801}
"""97.5th percentiles of Student's t by degrees of freedom, from a printed table."""


@pytest.mark.parametrize("dof", T_975)
def test_an_interval_of_a_mean_is_that_of_the_printed_t_table(dof: int) -> None:
    values = np.random.default_rng(dof).normal(3.0, 2.0, size=dof + 1).tolist()
    estimate = mean_interval(values)
    half = T_975[dof] * statistics.stdev(values) / math.sqrt(dof + 1)
    assert estimate.value == pytest.approx(statistics.mean(values))
    assert (estimate.low, estimate.high) == pytest.approx(
        (estimate.value - half, estimate.value + half), abs=1e-4 * half
    )


def test_nineteen_of_twenty_intervals_cover_the_mean() -> None:
    rng = np.random.default_rng(0)
    estimates = [mean_interval(rng.normal(1.0, 3.0, size=3)) for _ in range(4000)]
    assert np.mean([each.low < 1.0 < each.high for each in estimates]) == pytest.approx(0.95, abs=0.011)


def test_a_ratio_is_a_geometric_mean_with_the_interval_of_the_logarithms() -> None:
    logs = np.log([0.5, 2.0, 4.0])
    half = T_975[2] * logs.std(ddof=1) / math.sqrt(3)
    expected = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    assert tuple(ratio_interval(logs)) == pytest.approx(tuple(expected), rel=1e-4)
    assert str(ratio_interval([])) == "unknown"


def test_values_that_are_not_finite_are_excluded_from_a_mean() -> None:
    assert mean_interval([1.0, math.nan, 3.0, math.inf, -math.inf]) == mean_interval(iter([1.0, 3.0]))


def test_a_single_value_has_no_interval_and_no_value_is_unknown() -> None:
    one, none = mean_interval([0.5, math.nan]), mean_interval([math.nan])
    assert one.value == 0.5 and math.isnan(one.low) and math.isnan(one.high) and str(one) == "0.50"
    assert math.isnan(none.value) and str(none) == "unknown"
    assert (one.sign, none.sign) == (0, 0)


@pytest.mark.parametrize(
    ("low", "high", "sign"), [(0.1, 0.3, 1), (-0.3, -0.1, -1), (-0.1, 0.3, 0), (0.0, 0.3, 0), (-0.3, 0.0, 0)]
)
def test_a_sign_needs_the_whole_interval_on_one_side(low: float, high: float, sign: int) -> None:
    assert Estimate((low + high) / 2, low, high).sign == sign


def test_an_estimate_is_printed_with_two_digits() -> None:
    assert str(Estimate(0.5, -0.123, 1.126)) == "0.50 [-0.12, 1.13]"


def test_a_slope_is_per_tenfold_size_with_the_textbooks_interval() -> None:
    rng = np.random.default_rng(1)
    sizes = np.tile([1e3, 1e4, 1e5, 1e6], 4)
    values = 0.3 * np.log10(sizes) + rng.normal(scale=0.1, size=16)
    estimate = slope_interval(values.tolist(), sizes.tolist())
    x = np.log10(sizes)
    slope = np.cov(x, values)[0, 1] / np.var(x, ddof=1)
    residual = values - values.mean() - slope * (x - x.mean())
    half = T_975[14] * np.sqrt((residual**2).sum() / 14 / ((x - x.mean()) ** 2).sum())
    assert tuple(estimate) == pytest.approx((slope, slope - half, slope + half), rel=1e-4)
    with_gap = slope_interval([*values, math.nan], [*sizes, 1e9])
    assert tuple(with_gap) == tuple(estimate)


def back_and_forth() -> Curve:
    """Points out of order in KL: 0, 1, 4, 2."""
    gold_SP = np.array([[0.0, 0.0], [0.5, 1.5], [3.0, 5.0], [1.0, 3.0]])
    return Curve(np.arange(4), np.array([0.0, 1.0, 4.0, 2.0]), 10 * gold_SP, gold_SP)


@pytest.mark.parametrize(("kl", "gold"), [(0, 0), (0.25, 0.25), (1, 1), (1.5, 1.5), (2, 2), (3, 3), (4, 4)])
def test_gold_at_a_kl_is_on_the_straight_line_between_its_neighbours(kl: float, gold: float) -> None:
    assert gold_at(back_and_forth(), kl) == pytest.approx(gold)
    assert proxy_at(back_and_forth(), kl) == pytest.approx(10 * gold)


def test_scores_beyond_the_end_of_a_curve_are_nan_and_rounding_is_not_beyond() -> None:
    curve = back_and_forth()
    assert math.isnan(gold_at(curve, 4.001)) and math.isnan(proxy_at(curve, 4.001))
    assert gold_at(curve, np.sqrt(4.0) ** 2 * (1 + 1e-15)) == pytest.approx(4.0)


def test_a_peak_at_the_last_point_is_not_inside(curve: Callable[..., Curve]) -> None:
    assert peak_is_inside(curve(steps=6))
    rising = back_and_forth()
    assert not peak_is_inside(Curve(np.arange(3), rising.kl_S[:3], rising.proxy_SP[:3], rising.gold_SP[:3]))


def heights(cell: Callable[..., Cell], by_seed: dict[int, list[float]]) -> list[Cell]:
    sizes = ("1k", "3k", "25k", "100k")
    return [
        cell(height, rm_size=size, seed=seed)
        for seed, values in by_seed.items()
        for size, height in zip(sizes, values, strict=True)
    ][::-1]


def height(cell: Cell) -> float:
    return cell.metrics["peak/gold"]


def test_rank_correlations_are_one_for_each_seed_in_order(cell: Callable[..., Cell]) -> None:
    cells = heights(cell, {2: [4.0, 3.0, 2.0, 1.0], 0: [1.0, 2.0, 3.0, 4.0], 1: [1.0, 3.0, 2.0, 4.0]})
    by_hand = 1 - 6 * (0 + 1 + 1 + 0) / (4 * (4**2 - 1))  # the formula for ranks without ties
    assert rank_correlations(cells, height) == pytest.approx([1.0, by_hand, -1.0])


def test_tied_values_share_their_ranks_and_a_constant_has_no_correlation(cell: Callable[..., Cell]) -> None:
    cells = heights(cell, {0: [1.0, 1.0, 2.0, 2.0], 1: [0.5, 0.5, 0.5, 0.5]})
    tied = float(np.corrcoef([1, 2, 3, 4], [1.5, 1.5, 3.5, 3.5])[0, 1])
    assert rank_correlations(cells, height) == pytest.approx([tied, 0.0])


def test_cells_are_selected_by_settings_smallest_model_first(result: Result) -> None:
    cells = select(result, method="ppo")
    assert [(c.settings["rm_size"], c.settings["seed"]) for c in cells] == [
        (size, seed) for size in ("1k", "3k", "100k") for seed in (0, 1, 2)
    ]
    assert [c.settings["method"] for c in select(result, rm_size="3k", seed=1)] == ["ppo", "best-of-n"]
    assert select(result, rm_size="25k") == select(result, nothing=1) == []


def test_settings_are_listed_in_their_order(result: Result) -> None:
    assert values_of(result, "rm_size") == ["1k", "3k", "100k"]
    assert values_of(result, "seed") == seeds_of(result.cells) == [0, 1, 2]
    assert methods_of(result) == ["best-of-n", "ppo"]
