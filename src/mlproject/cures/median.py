"""Median of an ensemble: r = median_k r_k.

Eisenstein et al. 2023 (arXiv 2312.09244), section 5. One member that is fooled has no say.

Axis letters: K ensemble members, B responses.
"""

from __future__ import annotations

import numpy as np

from mlproject.cures.cure import COMBINE, Cure, Options
from mlproject.curve import Array


def median(scores_KB: Array, options: Options) -> Array:
    """Shape: (B,)."""
    return np.median(scores_KB, axis=0)


CURE = Cure("median", "median of an ensemble", COMBINE, combine=median)
