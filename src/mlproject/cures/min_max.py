"""Min-max: r' = (clip(r, low, high) - low) / (high - low), low and high of the initial policy's responses.

One of the baselines of Fu et al. 2025 (arXiv 2502.18770), where the extremes are those of all responses so far. Here
they are fixed: with running extremes a response's reward depends on what was scored before it, so that a run which is
interrupted goes on with another reward.

Axis letters: B responses, M reference responses.
"""

from __future__ import annotations

import numpy as np

from mlproject.cures.cure import SHAPE, Cure, Options, Start
from mlproject.curve import Array


def min_max(scores_B: Array, start: Start, references_BM: Array, options: Options) -> Array:
    """Shape: (B,)."""
    return (np.clip(scores_B, start.low, start.high) - start.low) / (start.high - start.low)


CURE = Cure("min-max", "clipped to the extremes of the initial policy's scores", SHAPE, shape=min_max)
