"""Trends of a law's coefficients over the size of the reward model (Gao et al. 2022, section 3.2).

Axis letters: R policy runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_T_975 = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139)
"""97.5th percentile of Student's t with 1 to 10 degrees of freedom."""

_Z_975 = 1.959963985


@dataclass(frozen=True)
class Trend:
    """A straight line through a coefficient over log10 of the reward model's parameters.

    Attributes:
        slope: change of the coefficient per tenfold parameters.
        intercept: the line at 1 parameter (log10 = 0).
        slope_se: standard error of the slope.
        slope_interval: 95 % interval of the slope, by Student's t.
        r2: ordinary R^2; nan where the coefficient is constant.
        points: how many runs.
    """

    slope: float
    intercept: float
    slope_se: float
    slope_interval: tuple[float, float]
    r2: float
    points: int


def trend(coefficient_R: ArrayLike, rm_params_R: ArrayLike) -> Trend:
    """Regress a coefficient of the law on log10 of the reward model's parameters, by ordinary least squares.

    Args:
        coefficient_R: alpha, beta or anything else, one per run. Shape: (R,).
        rm_params_R: parameters of the proxy RM, positive. Shape: (R,).

    Returns:
        the line and what is known about its slope.

    Raises:
        ValueError: for fewer than 3 runs, or a single size of reward model.
    """
    y = np.asarray(coefficient_R, dtype=np.float64)
    x = np.log10(np.asarray(rm_params_R, dtype=np.float64))
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(f"a trend needs at least 3 runs and 2 sizes, got {len(x)} runs of {len(np.unique(x))} sizes")
    spread, total = float(np.square(x - x.mean()).sum()), float(np.square(y - y.mean()).sum())
    slope = float((x - x.mean()) @ (y - y.mean())) / spread
    intercept = float(y.mean() - slope * x.mean())
    residual = float(np.square(y - intercept - slope * x).sum())
    slope_se = float(np.sqrt(residual / (len(x) - 2) / spread))
    margin = t_975(len(x) - 2) * slope_se
    return Trend(
        slope=slope,
        intercept=intercept,
        slope_se=slope_se,
        slope_interval=(slope - margin, slope + margin),
        r2=1.0 - residual / total if total > 0 else float("nan"),
        points=len(x),
    )


def t_975(dof: int) -> float:
    """97.5th percentile of Student's t: a table up to 10 degrees of freedom, then the expansion in 1/dof.

    The expansion about the normal quantile (Abramowitz and Stegun 1964, 26.7.5) is good to 1e-5 beyond.

    Args:
        dof: degrees of freedom, 1 or more.
    """
    if dof <= len(_T_975):
        return _T_975[dof - 1]
    z = _Z_975
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / dof ** (power + 1) for power, term in enumerate(terms))


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
