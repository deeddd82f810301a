"""Worst-case optimization (WCO): r = min_k r_k.

Coste et al. 2023 (arXiv 2310.02743), section 4.1. A response counts for no more than its severest judge gives it.

Axis letters: K ensemble members, B responses.
"""

from __future__ import annotations

from mlproject.cures.cure import COMBINE, Cure, Options
from mlproject.curve import Array


def worst_case(scores_KB: Array, options: Options) -> Array:
    """Shape: (B,)."""
    return scores_KB.min(axis=0)


CURE = Cure("worst-case", "lowest score of an ensemble", COMBINE, combine=worst_case)
