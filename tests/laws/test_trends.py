"""Trends over RM size: regression by the normal equations, Student's t by quadrature, Spearman by hand."""

from __future__ import annotations

from math import gamma, pi, sqrt

import numpy as np
import pytest

from mlproject.laws import plane, spearman, trend
from mlproject.laws.intervals import t_975


def test_a_planted_line_over_log10_parameters_is_recovered() -> None:
    params = np.array([3e6, 12e6, 85e6, 300e6, 3e9])
    line = trend(0.49 + 0.065 * np.log10(params / 3e6), params)
    assert line.slope == pytest.approx(0.065)
    assert line.intercept == pytest.approx(0.49 - 0.065 * np.log10(3e6))
    assert line.slope_se == pytest.approx(0.0, abs=1e-12)
    assert line.r2 == pytest.approx(1.0)


def test_slope_error_and_interval_equal_a_textbook_example() -> None:
    """x = 1..5, y = 2 4 5 4 5: slope .6, intercept 2.2, se sqrt(.8/10), t(3) = 3.1824, R^2 .6."""
    line = trend([2, 4, 5, 4, 5], 10.0 ** np.arange(1, 6))
    assert (line.slope, line.intercept, line.r2) == (
        pytest.approx(0.6),
        pytest.approx(2.2),
        pytest.approx(0.6),
    )
    assert line.slope_se == pytest.approx(sqrt(0.08))
    margin = 3.182446 * sqrt(0.08)
    assert line.slope_interval == (pytest.approx(0.6 - margin), pytest.approx(0.6 + margin))


def test_slope_intervals_hold_the_planted_slope_in_95_percent_of_trends() -> None:
    rng = np.random.default_rng(0)
    params = np.repeat([1e4, 1e5, 1e6], 3)
    covered = 0
    for _ in range(1000):
        low, high = trend(0.3 - 0.02 * np.log10(params) + rng.normal(scale=0.05, size=9), params).slope_interval
        covered += low <= -0.02 <= high
    assert 0.925 <= covered / 1000 <= 0.975


@pytest.mark.parametrize("params", [[1e5, 1e6], [1e5, 1e5, 1e5]])
def test_a_trend_over_too_few_runs_or_one_size_is_refused(params: list[float]) -> None:
    with pytest.raises(ValueError, match="at least 3 runs and 2 sizes"):
        trend(np.arange(len(params)), params)


def test_a_planted_plane_over_parameters_and_data_is_recovered_from_scattered_runs() -> None:
    params, data = np.array([1e3, 3e3, 1e5, 2e4, 5e5]), np.array([500, 4e3, 1e3, 3e4, 9e4])
    surface = plane(0.4 + 0.06 * np.log10(params) - 0.02 * np.log10(data), params, data)
    assert surface.slopes == (pytest.approx(0.06), pytest.approx(-0.02))
    assert (surface.intercept, surface.r2, surface.points) == (pytest.approx(0.4), pytest.approx(1.0), 5)


def test_a_planes_intervals_and_r2_are_those_of_the_normal_equations() -> None:
    rng = np.random.default_rng(0)
    x, z, y = rng.uniform(3, 6, size=8), rng.uniform(2, 5, size=8), rng.normal(size=8)
    X = np.column_stack([np.ones(8), x, z])
    coef = np.linalg.solve(X.T @ X, X.T @ y)
    rss = np.sum((y - X @ coef) ** 2)
    margin = 2.570582 * np.sqrt(rss / 5 * np.diag(np.linalg.inv(X.T @ X)))  # t of 8 - 3 degrees of freedom
    surface = plane(y, 10**x, 10**z)
    np.testing.assert_allclose([surface.intercept, *surface.slopes], coef)
    np.testing.assert_allclose(
        surface.slope_intervals, [[c - m, c + m] for c, m in zip(coef[1:], margin[1:], strict=True)]
    )
    assert surface.r2 == pytest.approx(1 - rss / np.sum((y - y.mean()) ** 2))


def test_on_a_full_grid_of_sizes_and_data_the_plane_has_the_slopes_of_the_two_trends() -> None:
    params, data = (axis.ravel() for axis in np.meshgrid([1e3, 1e4, 1e6], [500.0, 2e3, 8e3, 64e3]))
    y = np.random.default_rng(1).normal(size=12)
    assert plane(y, params, data).slopes == (
        pytest.approx(trend(y, params).slope),
        pytest.approx(trend(y, data).slope),
    )


def test_a_plane_refuses_collinear_sizes_and_too_few_runs() -> None:
    params = np.array([1e3, 1e4, 1e5, 1e6])
    with pytest.raises(ValueError, match="not collinear"):
        plane(np.arange(4), params, params**2)
    with pytest.raises(ValueError, match="at least 4, with"):
        plane(np.arange(3), params[:3], [1e3, 5e3, 2e3])


@pytest.mark.parametrize("dof", [1, 2, 5, 10, 11, 15, 30, 100])
def test_the_t_quantile_leaves_two_and_a_half_percent_above_it(dof: int) -> None:
    """The density integrated from 0 to the quantile by Simpson's rule is .475."""
    x = np.linspace(0.0, t_975(dof), 20_001)
    density = gamma((dof + 1) / 2) / (sqrt(dof * pi) * gamma(dof / 2)) * (1 + x**2 / dof) ** (-(dof + 1) / 2)
    simpson = np.ones(20_001)
    simpson[1:-1:2], simpson[2:-1:2] = 4, 2
    assert float(simpson @ density) * x[1] / 3 == pytest.approx(0.475, abs=2e-7 if dof <= 10 else 2e-6)


def test_spearman_equals_the_hand_computed_value() -> None:
    """x ranks 1..5, y ranks 2 1 4 3 5: sum of squared differences 4, so 1 - 6*4/(5*24) = 0.8."""
    assert spearman([10, 20, 30, 40, 50], [0.2, 0.1, 0.4, 0.3, 9.0]) == pytest.approx(0.8)
    assert spearman([1, 2, 3], [9, 4, 1]) == pytest.approx(-1.0)


def test_spearman_averages_the_ranks_of_ties() -> None:
    """x ranks 1, 2.5, 2.5, 4; y ranks 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5, so sqrt(.9)."""
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(sqrt(0.9))


def test_spearman_of_a_constant_is_unknown() -> None:
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]))
