"""Trends of a law's coefficients over the reward model's parameters and data (Gao et al. 2022, sections 3.2 and 3.3).

Axis letters: C policy runs, A coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.curve import Array
from mlproject.laws.intervals import Interval, t_975


@dataclass(frozen=True)
class Trend:
    """A straight line fitted to a coefficient over log10 of a size.

    Attributes:
        slope: change of the coefficient per tenfold size.
        intercept: the line at size 1 (log10 = 0).
        slope_se: standard error of the slope.
        slope_interval: 95 % t-interval of the slope.
        r2: ordinary R^2; nan if the coefficient is constant.
        points: number of runs.
    """

    slope: float
    intercept: float
    slope_se: float
    slope_interval: Interval
    r2: float
    points: int


@dataclass(frozen=True)
class Plane:
    """A plane fitted to a coefficient over log10 of the reward model's parameters and of its comparisons.

    Attributes:
        slopes: change of the coefficient per tenfold (parameters, comparisons), the other held fixed.
        slope_intervals: 95 % t-interval of each.
        intercept: the plane at 1 parameter and 1 comparison.
        r2: ordinary R^2; nan if the coefficient is constant.
        points: number of runs.
    """

    slopes: tuple[float, float]
    slope_intervals: tuple[Interval, Interval]
    intercept: float
    r2: float
    points: int


def trend(coefficient_C: ArrayLike, size_C: ArrayLike) -> Trend:
    """Regress a coefficient of the law on log10 of a size, by ordinary least squares.

    Args:
        coefficient_C: alpha, beta or any other value of each run. Shape: (C,).
        size_C: parameters of the proxy RM, or comparisons that it was trained on, positive. Shape: (C,).

    Raises:
        ValueError: if there are fewer than 3 runs, or only one size.
    """
    x = np.log10(np.asarray(size_C, dtype=np.float64))
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(f"got {len(x)} runs of {len(np.unique(x))} sizes; a trend needs at least 3 runs and 2 sizes")
    (intercept, slope), (_, slope_se), r2 = _regress(coefficient_C, x[:, None])
    return Trend(slope, intercept, slope_se, _t_interval(slope, slope_se, len(x) - 2), r2, len(x))


def plane(coefficient_C: ArrayLike, rm_params_C: ArrayLike, n_comparisons_C: ArrayLike) -> Plane:
    """Regress a coefficient of the law on log10 of parameters and log10 of data together.

    Args:
        coefficient_C: alpha, beta or any other value of each run. Shape: (C,).
        rm_params_C: parameters of the proxy RM, positive. Shape: (C,).
        n_comparisons_C: comparisons that it was trained on, positive. Shape: (C,).

    Raises:
        ValueError: if there are fewer than 4 runs, or their parameters and comparisons are collinear.
    """
    x_C2 = np.log10(np.column_stack([rm_params_C, n_comparisons_C]).astype(np.float64))
    runs = len(x_C2)
    if runs < 4 or np.linalg.matrix_rank(x_C2 - x_C2.mean(axis=0)) < 2:
        raise ValueError(f"got {runs} runs; a plane needs at least 4, with parameters and comparisons not collinear")
    (intercept, *slopes), (_, *errors), r2 = _regress(coefficient_C, x_C2)
    by_params, by_data = (_t_interval(*pair, runs - 3) for pair in zip(slopes, errors, strict=True))
    return Plane((slopes[0], slopes[1]), (by_params, by_data), intercept, r2, runs)


def _regress(y_C: ArrayLike, x_CA: Array) -> tuple[list[float], list[float], float]:
    """(intercept and slopes, their standard errors, R^2) by ordinary least squares."""
    y_C = np.asarray(y_C, dtype=np.float64)
    X = np.column_stack([np.ones(len(x_CA)), x_CA])
    inverse = np.linalg.pinv(X)
    coef = inverse @ y_C
    residual = float(np.square(y_C - X @ coef).sum())
    total = float(np.square(y_C - y_C.mean()).sum())
    errors = np.sqrt(residual / (len(X) - X.shape[1]) * np.square(inverse).sum(axis=1))
    return coef.tolist(), errors.tolist(), 1.0 - residual / total if total > 0 else float("nan")


def _t_interval(slope: float, slope_se: float, dof: int) -> Interval:
    margin = t_975(dof) * slope_se
    return slope - margin, slope + margin


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation; ties get the mean of their ranks.

    Args:
        x, y: paired values, any unit. Shape: (C,).

    Returns:
        from -1 to 1; nan if x or y is constant.
    """
    rank_x, rank_y = _ranks(np.asarray(x)), _ranks(np.asarray(y))
    dx, dy = rank_x - rank_x.mean(), rank_y - rank_y.mean()
    scale = float(np.sqrt(np.square(dx).sum() * np.square(dy).sum()))
    return float(dx @ dy) / scale if scale > 0 else float("nan")


def _ranks(values: NDArray[np.generic]) -> Array:
    """Ranks from 1, ties averaged."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(sizes)
    return (last_rank - (sizes - 1) / 2)[group]
