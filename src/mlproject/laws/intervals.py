"""Estimates with 95 % intervals, and the quantiles and closed forms that intervals are made of."""

from __future__ import annotations

import math
from typing import NamedTuple

Interval = tuple[float, float]
"""(low, high), 95 %."""

Z_975 = 1.959963985
"""The 97.5 % quantile of the normal distribution."""

_T_975 = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139)
"""97.5th percentile of Student's t with 1 to 10 degrees of freedom."""


class Estimate(NamedTuple):
    """A value with its 95 % interval; nan ends where there is none."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies on that side of 0; otherwise 0."""
        return int(self.low > 0) - int(self.high < 0)

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "unknown"
        if math.isnan(self.low):
            return f"{self.value:.2f}"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def t_975(dof: int) -> float:
    """97.5th percentile of Student's t: from a table up to 10 degrees of freedom, then by an expansion in 1/dof.

    The expansion about the normal quantile (Abramowitz and Stegun 1964, 26.7.5) is accurate to 1e-5 beyond 10.

    Args:
        dof: degrees of freedom, 1 or more.
    """
    if dof <= len(_T_975):
        return _T_975[dof - 1]
    z = Z_975
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / dof ** (power + 1) for power, term in enumerate(terms))


def wilson_interval(share: float, count: int) -> Interval:
    """Wilson's 95 % interval for a share (Wilson 1927).

    Args:
        share: successes / trials, 0 to 1.
        count: trials.

    Returns:
        (low, high); nan where there are no trials.
    """
    if count == 0:
        return math.nan, math.nan
    middle = share + Z_975**2 / 2 / count
    half = Z_975 * math.sqrt(max(share * (1 - share), 0.0) / count + Z_975**2 / 4 / count**2)
    return (middle - half) / (1 + Z_975**2 / count), (middle + half) / (1 + Z_975**2 / count)
