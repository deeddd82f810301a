"""Clip: r' = clip(r, mu - c sigma, mu + c sigma), mu and sigma of the initial policy's responses.

One of the baselines of Fu et al. 2025 (arXiv 2502.18770), with c = 1 and running mu and sigma; see `min_max` for why
they are fixed here.

Axis letters: B responses, M reference responses.
"""

from __future__ import annotations

import numpy as np

from mlproject.cures.cure import SHAPE, Cure, Options, Start
from mlproject.curve import Array


def clip(scores_B: Array, start: Start, references_BM: Array, options: Options) -> Array:
    """Shape: (B,)."""
    width = options["clip_sds"] * start.sd
    return np.clip(scores_B, start.mean - width, start.mean + width)


CURE = Cure("clip", "clipped to standard deviations of the initial policy's scores", SHAPE, ("clip_sds",), shape=clip)
