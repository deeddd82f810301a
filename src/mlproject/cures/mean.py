"""Mean of an ensemble: r = (1/K) sum_k r_k.

Coste et al. 2023 (arXiv 2310.02743), Eisenstein et al. 2023 (arXiv 2312.09244). Averages out what the members guess
apart; what they all err about remains.

Axis letters: K ensemble members, B responses.
"""

from __future__ import annotations

from mlproject.cures.cure import COMBINE, Cure, Options
from mlproject.curve import Array


def mean(scores_KB: Array, options: Options) -> Array:
    """Shape: (B,)."""
    return scores_KB.mean(axis=0)


CURE = Cure("mean", "mean of an ensemble", COMBINE, combine=mean)
