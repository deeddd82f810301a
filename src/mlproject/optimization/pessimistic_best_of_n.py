"""Pessimistic best-of-n: pick one of the pool's samples with probability proportional to relu(proxy - threshold).

The optimum of proxy - beta / 2 * chi-squared divergence on the pool (Huang et al. 2025, arXiv 2503.21878,
"inference-time pessimism"): weights w = relu((r - lambda) / beta), with lambda such that their mean is 1. A weight
grows linearly with the score, whatever n is, so that a few samples whose score is wrong by much gain less than in
best-of-n or soft best-of-n.

Axis letters: P prompts, N samples per prompt in the pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mlproject.curve import Array
from mlproject.optimization.best_of_n import BestOfNConfig
from mlproject.optimization.method import Method, MethodConfig
from mlproject.optimization.weighted_choice import KL_NOTE, strength_steps, weighted_points
from mlproject.options.declaration import option, shared_option

if TYPE_CHECKING:
    from mlproject.curve import CurvePoint
    from mlproject.optimization.task import OptimizationTask

STEPS_PER_STRENGTH = 100
"""A step of the curve is an integer: 1 / beta times this."""

_RANGE = 1024
"""The largest strength over the smallest above 0."""


@dataclass(frozen=True, kw_only=True)
class PessimisticBestOfNConfig(MethodConfig):
    """Options of pessimistic best-of-n."""

    HEADING: ClassVar[str] = "Pessimistic best-of-n"

    bon_points: int = shared_option(BestOfNConfig, "bon_points")
    pessimism_strength_max: float = option(
        "largest 1 / beta, per gold standard deviation of the proxy score", default=256.0, minimum=1, maximum=100_000
    )

    @property
    def last_step(self) -> int:
        return round(self.pessimism_strength_max * STEPS_PER_STRENGTH)


METHOD = Method(
    "pessimistic-best-of-n",
    "pessimistic best-of-n",
    PessimisticBestOfNConfig,
    module=__name__,
    law="best-of-n",
    step_unit=f"{STEPS_PER_STRENGTH}/β",
    kl_note=KL_NOTE,
    trains_policy=False,
)


def optimize(task: OptimizationTask[PessimisticBestOfNConfig]) -> Iterator[CurvePoint]:
    """Yield one point per strength 1 / beta: 0, then evenly spaced in its logarithm. A step is 100 / beta."""
    steps = strength_steps(task.config.last_step, task.config.bon_points, _RANGE).tolist()
    proxy_PN = task.rate_samples()
    strengths = {step: step / STEPS_PER_STRENGTH for step in steps}
    lambdas = {step: thresholds(proxy_PN, strength) for step, strength in strengths.items() if strength}  # by sorting

    def weights_of(step: int) -> Array:
        return pessimistic_weights(proxy_PN, strengths[step], lambdas.get(step))

    yield from weighted_points(task, proxy_PN, steps, weights_of)


def pessimistic_weights(proxy_PN: Array, strength: float, lambda_P1: Array | None = None) -> Array:
    """N times the probability of each sample: relu(strength * (proxy - lambda)), with mean 1 on every prompt.

    Args:
        proxy_PN: proxy score of the samples, gold standard deviations. Shape: (P, N).
        strength: 1 / beta, 0 or more; 0 gives every sample weight 1.
        lambda_P1: what `thresholds` gives, where that is known. Shape: (P, 1).

    Returns:
        weights whose mean over the samples of a prompt is 1. Shape: (P, N).
    """
    if strength == 0:
        return np.ones_like(proxy_PN)
    lambda_P1 = thresholds(proxy_PN, strength) if lambda_P1 is None else lambda_P1
    return np.maximum(strength * (_below_best(proxy_PN) - lambda_P1), 0.0)


def thresholds(proxy_PN: Array, strength: float) -> Array:
    """Lambda of each prompt, less the prompt's highest score.

    With the scores in descending order, the k best have weights above 0 where the mean over these k puts lambda below
    the k-th and not below the next: lambda = mean of the k best - N / (k strength).

    Args:
        proxy_PN: proxy score of the samples, gold standard deviations. Shape: (P, N).
        strength: 1 / beta, above 0.

    Returns:
        gold standard deviations, at most 0. Shape: (P, 1).
    """
    descending_PN = -np.sort(-_below_best(proxy_PN), axis=1)
    samples = proxy_PN.shape[1]
    count_N = np.arange(1, samples + 1)
    lambda_PN = (descending_PN.cumsum(axis=1) - samples / strength) / count_N
    chosen_P = (descending_PN > lambda_PN).sum(axis=1) - 1  # true for the first k, false for the others
    return lambda_PN[np.arange(len(proxy_PN)), chosen_P][:, None]


def _below_best(proxy_PN: Array) -> Array:
    """Scores less the highest of their prompt: weights depend on differences alone."""
    return proxy_PN - proxy_PN.max(axis=1, keepdims=True)
