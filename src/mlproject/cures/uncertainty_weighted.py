"""Uncertainty-weighted optimization (UWO): r = mean_k r_k - lambda Var_k r_k.

Coste et al. 2023 (arXiv 2310.02743), section 4.1; lambda .5 for best-of-n and .1 for PPO there. The variance is that of
the K members themselves (divided by K), in squared gold standard deviations.

Axis letters: K ensemble members, B responses.
"""

from __future__ import annotations

from mlproject.cures.cure import COMBINE, Cure, Options
from mlproject.curve import Array


def uncertainty_weighted(scores_KB: Array, options: Options) -> Array:
    """Shape: (B,)."""
    return scores_KB.mean(axis=0) - options["uwo_lambda"] * scores_KB.var(axis=0)


CURE = Cure(
    "uncertainty-weighted", "mean of an ensemble less its variance", COMBINE, ("uwo_lambda",), uncertainty_weighted
)
