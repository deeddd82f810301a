"""Preference as reward (PAR): r' = (1/M) sum_m sigmoid(k (r - r_m)), r_m of M responses of the initial policy.

Fu et al. 2025 (arXiv 2502.18770): the probability that the response is preferred to one of the initial policy's, so it
is bounded, and its slope falls where the reward model is far from what it has seen. The order of the responses to one
prompt is kept: a selection from a pool does not change, only a policy that is trained.

Axis letters: B responses, M reference responses.
"""

from __future__ import annotations

from mlproject.cures.cure import SHAPE, Cure, Options, Start
from mlproject.cures.sigmoid import sigmoid
from mlproject.curve import Array


def par(scores_B: Array, start: Start, references_BM: Array, options: Options) -> Array:
    """Shape: (B,)."""
    return sigmoid(options["par_k"] * (scores_B[:, None] - references_BM)).mean(axis=1)


CURE = Cure(
    "par",
    "probability of being preferred to the initial policy",
    SHAPE,
    ("par_k", "reference_samples"),
    shape=par,
    needs_references=True,
)
