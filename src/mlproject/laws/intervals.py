"""Intervals in closed form."""

from __future__ import annotations

import math

Z_975 = 1.959963985
"""The 97.5 % quantile of the normal distribution."""


def wilson(share: float, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a share (Wilson 1927).

    Args:
        share: of successes, 0 to 1.
        of: trials.

    Returns:
        (low, high); nan where there are no trials.
    """
    if of == 0:
        return math.nan, math.nan
    middle = share + Z_975**2 / 2 / of
    half = Z_975 * math.sqrt(max(share * (1 - share), 0.0) / of + Z_975**2 / 4 / of**2)
    return (middle - half) / (1 + Z_975**2 / of), (middle + half) / (1 + Z_975**2 / of)
