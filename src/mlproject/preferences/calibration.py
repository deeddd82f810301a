"""Calibration: the scale that makes a proxy's scores comparable with gold (Gao et al. 2022, section 2.2).

Axis letters: B comparisons.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NEWTON_STEPS = 50


def calibration_scale(proxy_margin_B: NDArray[np.float64], gold_margin_B: NDArray[np.float64]) -> float:
    """The scale of a proxy's scores that minimises cross-entropy against soft gold labels.

    A proxy that is trained on hard labels has logits of arbitrary scale. The scale c > 0 minimises the mean of
    -s log sigmoid(c x) - (1 - s) log sigmoid(-c x), with x the proxy's margin and s = sigmoid(gold margin): a convex
    problem in one variable, which Newton's method solves.

    Args:
        proxy_margin_B: raw proxy score of one response minus that of the other. Shape: (B,).
        gold_margin_B: gold score of the same response minus that of the other, gold standard deviations. Shape: (B,).

    Returns:
        c, in gold standard deviations per unit of the raw proxy score; 1e-3 divided by the standard deviation of the
        proxy's margins if the two do not agree at all (c would not be positive).
    """
    spread = float(np.std(proxy_margin_B)) or 1.0
    x = proxy_margin_B / spread
    soft = 1 / (1 + np.exp(-gold_margin_B))
    c = 1.0
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-c * x))
        slope, curvature = np.mean((p - soft) * x), np.mean(p * (1 - p) * x * x)
        newton = c - float(slope) / max(float(curvature), 1e-12)
        c = min(max(newton, c / 4), c * 4)
        if c < 1e-3:
            return 1e-3 / spread
    return c / spread
