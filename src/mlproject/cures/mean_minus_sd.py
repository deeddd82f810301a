"""Mean less standard deviations of an ensemble: r = mean_k r_k - c sd_k r_k.

Eisenstein et al. 2023 (arXiv 2312.09244), section 5 (c = 1). The standard deviation is that of the K members
themselves (divided by K), in gold standard deviations: for two members and c = 1 it is the worst case.

Axis letters: K ensemble members, B responses.
"""

from __future__ import annotations

from mlproject.cures.cure import COMBINE, Cure, Options
from mlproject.curve import Array


def mean_minus_sd(scores_KB: Array, options: Options) -> Array:
    """Shape: (B,)."""
    return scores_KB.mean(axis=0) - options["ensemble_sds"] * scores_KB.std(axis=0)


CURE = Cure(
    "mean-minus-sd", "mean of an ensemble less its standard deviation", COMBINE, ("ensemble_sds",), mean_minus_sd
)
