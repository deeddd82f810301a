"""Trends of a law's coefficients over the reward model's parameters and data (Gao et al. 2022, sections 3.2 and 3.3).

Axis letters: R policy runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.laws.intervals import Interval, t_975

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trend:
    """A straight line through a coefficient over log10 of a size.

    Attributes:
        slope: change of the coefficient per tenfold size.
        intercept: the line at size 1 (log10 = 0).
        slope_se: standard error of the slope.
        slope_interval: 95 % interval of the slope, by Student's t.
        r2: ordinary R^2; nan where the coefficient is constant.
        points: how many runs.
    """

    slope: float
    intercept: float
    slope_se: float
    slope_interval: Interval
    r2: float
    points: int


@dataclass(frozen=True)
class Plane:
    """A plane through a coefficient over log10 of the reward model's parameters and of its data.

    Attributes:
        slopes: change of the coefficient per tenfold (parameters, data), the other one fixed.
        slope_intervals: 95 % interval of each, by Student's t.
        intercept: the plane at 1 parameter and 1 comparison.
        r2: ordinary R^2; nan where the coefficient is constant.
        points: how many runs.
    """

    slopes: tuple[float, float]
    slope_intervals: tuple[Interval, Interval]
    intercept: float
    r2: float
    points: int


def trend(coefficient_R: ArrayLike, size_R: ArrayLike) -> Trend:
    """Regress a coefficient of the law on log10 of a size, by ordinary least squares.

    Args:
        coefficient_R: alpha, beta or anything else, one per run. Shape: (R,).
        size_R: parameters of the proxy RM, or comparisons that it was trained on, positive. Shape: (R,).

    Returns:
        the line and what is known about its slope.

    Raises:
        ValueError: for fewer than 3 runs, or a single size.
    """
    x = np.log10(np.asarray(size_R, dtype=np.float64))
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(f"a trend needs at least 3 runs and 2 sizes, got {len(x)} runs of {len(np.unique(x))} sizes")
    (intercept, slope), (_, slope_se), r2 = _regress(coefficient_R, x[:, None])
    return Trend(slope, intercept, slope_se, _t_interval(slope, slope_se, len(x) - 2), r2, len(x))


def plane(coefficient_R: ArrayLike, rm_params_R: ArrayLike, n_comparisons_R: ArrayLike) -> Plane:
    """Regress a coefficient of the law on log10 of parameters and log10 of data together.

    Args:
        coefficient_R: alpha, beta or anything else, one per run. Shape: (R,).
        rm_params_R: parameters of the proxy RM, positive. Shape: (R,).
        n_comparisons_R: comparisons that it was trained on, positive. Shape: (R,).

    Returns:
        the plane and what is known about its slopes.

    Raises:
        ValueError: for fewer than 4 runs, or sizes that do not tell parameters from data.
    """
    x_R2 = np.log10(np.column_stack([rm_params_R, n_comparisons_R]).astype(np.float64))
    runs = len(x_R2)
    if runs < 4 or np.linalg.matrix_rank(x_R2 - x_R2.mean(axis=0)) < 2:
        raise ValueError(f"a plane needs at least 4 runs whose parameters and data vary apart, got {runs} runs")
    (intercept, *slopes), (_, *errors), r2 = _regress(coefficient_R, x_R2)
    by_params, by_data = (_t_interval(*pair, runs - 3) for pair in zip(slopes, errors, strict=True))
    return Plane((slopes[0], slopes[1]), (by_params, by_data), intercept, r2, runs)


def _regress(y_R: ArrayLike, x_Rk: Array) -> tuple[list[float], list[float], float]:
    """(intercept and slopes, their standard errors, R^2) by ordinary least squares."""
    y_R = np.asarray(y_R, dtype=np.float64)
    X = np.column_stack([np.ones(len(x_Rk)), x_Rk])
    inverse = np.linalg.pinv(X)
    coef = inverse @ y_R
    residual = float(np.square(y_R - X @ coef).sum())
    total = float(np.square(y_R - y_R.mean()).sum())
    errors = np.sqrt(residual / (len(X) - X.shape[1]) * np.square(inverse).sum(axis=1))
    return coef.tolist(), errors.tolist(), 1.0 - residual / total if total > 0 else float("nan")


def _t_interval(slope: float, slope_se: float, dof: int) -> Interval:
    margin = t_975(dof) * slope_se
    return slope - margin, slope + margin


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation; ties share the mean of their ranks.

    Args:
        x, y: paired values, any unit. Shape: (R,).

    Returns:
        from -1 to 1; nan where x or y is constant.
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
