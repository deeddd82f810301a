"""How far best-of-n may go, from gold labels of a few samples: hedging (Khalaf et al. 2025, HedgeTune).

Axis letters: B labelled samples, G values of n.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_GRID = 200
"""Values of n between which a change of sign is looked for, evenly spaced in log n."""

_HALVINGS = 40
"""Halvings of the interval between two of them."""


def hedged_n(rank_B: ArrayLike, gold_B: ArrayLike, n_max: float, density_B: ArrayLike = 1.0) -> float:
    """The n at which gold stops to rise under best-of-n, from samples of the initial policy with gold labels.

    The best of n has proxy rank u with density n u^(n-1) for u in (0, 1), so that the expected gold changes with n by
    E[gold n u^(n-1) (1/n + log u)] over uniform u. Returned is the first n at which the mean over the labelled samples
    falls below 0. Only samples with u above about 1 - 1/n speak of a large n: label more of these, and say so.

    Args:
        rank_B: proxy rank of each labelled sample among the samples of its prompt, as a share: (rank - 1/2)/N for ranks
            1 to N, the best last. Shape: (B,).
        gold_B: gold scores, any unit; their mean per prompt may be subtracted, which makes the answer more precise.
            Shape: (B,).
        n_max: largest n that is considered.
        density_B: density of u with which the samples were drawn; 1 if without regard to it. Shape: (B,).

    Returns:
        a number from 1 to `n_max`; `n_max` where gold does not stop to rise before.

    Raises:
        ValueError: for ranks outside (0, 1), no labels, shapes that differ, or n_max below 1.

    Examples:
        >>> import numpy as np
        >>> from mlproject import hedged_n
        >>> u = (np.arange(1000) + 0.5) / 1000
        >>> round(hedged_n(u, u - 0.8 * u**9, n_max=100), 1)  # dE/dn = 1/(n+1)^2 - 7.2/(n+9)^2
        3.8
    """
    rank, gold = np.asarray(rank_B, dtype=np.float64), np.asarray(gold_B, dtype=np.float64)
    if rank.ndim != 1 or rank.shape != gold.shape or not len(rank):
        raise ValueError(f"needs as many ranks as gold labels, one at least, got shapes {rank.shape} and {gold.shape}")
    if not (rank.min() > 0 and rank.max() < 1) or n_max < 1:
        raise ValueError("ranks must be shares between 0 and 1, and n_max at least 1")
    log_u = np.log(rank)
    weighted_B = gold / np.asarray(density_B, dtype=np.float64)

    def slope(log_n: float) -> float:
        n = math.exp(log_n)
        return float(np.mean(weighted_B * np.exp((n - 1) * log_u) * (1 + n * log_u)))

    grid_G = np.linspace(0.0, math.log(n_max), _GRID)
    slopes_G = np.array([slope(each) for each in grid_G])
    falls = np.flatnonzero(slopes_G < 0)
    if not len(falls):
        return float(n_max)
    first = int(falls[0])
    if first == 0:
        return 1.0
    rises, sinks = float(grid_G[first - 1]), float(grid_G[first])
    for _ in range(_HALVINGS):
        middle = (rises + sinks) / 2
        rises, sinks = (rises, middle) if slope(middle) < 0 else (middle, sinks)
    return math.exp(rises)
