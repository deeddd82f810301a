"""Log-sigmoid, centred (LSC): r' = log sigmoid(r - r_ref), r_ref a quantile of the initial policy's scores by prompt.

Wang et al. 2024 (arXiv 2402.00742): beyond the reference more reward hardly counts. The quantile is that of a normal
distribution with mean and standard deviation of M reference responses to the prompt (`lsc_quantile`, .85 there).

Axis letters: B responses, M reference responses.
"""

from __future__ import annotations

from statistics import NormalDist

from mlproject.cures.cure import SHAPE, Cure, Options, Start
from mlproject.cures.sigmoid import log_sigmoid
from mlproject.curve import Array


def log_sigmoid_centred(scores_B: Array, start: Start, references_BM: Array, options: Options) -> Array:
    """Shape: (B,). With one reference response the spread is that of all responses of the initial policy."""
    several = references_BM.shape[1] > 1
    sd_B = references_BM.std(axis=1) if several else start.sd
    quantile_B = references_BM.mean(axis=1) + NormalDist().inv_cdf(options["lsc_quantile"]) * sd_B
    return log_sigmoid(scores_B - quantile_B)


CURE = Cure(
    "log-sigmoid",
    "log-sigmoid, centred at a quantile of the initial policy's scores",
    SHAPE,
    ("lsc_quantile", "reference_samples"),
    shape=log_sigmoid_centred,
    needs_references=True,
)
