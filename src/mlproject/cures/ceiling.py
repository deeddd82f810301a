"""Ceiling: r' = min(r, c), c in gold standard deviations above the initial policy.

One of the baselines of Fu et al. 2025 (arXiv 2502.18770), c = 3, 4, 5 there.

Axis letters: B responses, M reference responses.
"""

from __future__ import annotations

import numpy as np

from mlproject.cures.cure import SHAPE, Cure, Options, Start
from mlproject.curve import Array


def ceiling(scores_B: Array, start: Start, references_BM: Array, options: Options) -> Array:
    """Shape: (B,)."""
    return np.minimum(scores_B, options["reward_ceiling"])


CURE = Cure("ceiling", "no higher than a ceiling", SHAPE, ("reward_ceiling",), shape=ceiling)
