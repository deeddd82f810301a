"""Soft best-of-n: pick one of the pool's samples at random, with probability proportional to exp(lambda * proxy).

Among all ways to select from the samples it has the highest proxy score at its KL from the initial policy: it is the
optimum of proxy - KL / lambda on the pool. lambda = 0 is the initial policy; for large lambda it becomes best of N.

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

STEPS_PER_LAMBDA = 100
"""A step of the curve is an integer: lambda times this."""

_RANGE = 256
"""The largest lambda over the smallest above 0."""


@dataclass(frozen=True, kw_only=True)
class SoftBestOfNConfig(MethodConfig):
    """Options of soft best-of-n."""

    HEADING: ClassVar[str] = "Soft best-of-n"

    bon_points: int = shared_option(BestOfNConfig, "bon_points")
    soft_bon_lambda_max: float = option(
        "largest lambda, per gold standard deviation of the proxy score", default=64.0, minimum=1, maximum=10_000
    )

    @property
    def last_step(self) -> int:
        return round(self.soft_bon_lambda_max * STEPS_PER_LAMBDA)


METHOD = Method(
    "soft-best-of-n",
    "soft best-of-n",
    SoftBestOfNConfig,
    module=__name__,
    law="best-of-n",  # RMSE .016 to .040 against .042 to .085 of the logarithmic law, six curves of 1k, 13k, 100k RMs
    step_unit=f"{STEPS_PER_LAMBDA} λ",
    kl_note=KL_NOTE,
    trains_policy=False,
)


def optimize(task: OptimizationTask[SoftBestOfNConfig]) -> Iterator[CurvePoint]:
    """Yield one point per lambda: 0, then evenly spaced in log lambda up to `soft_bon_lambda_max`.

    A step is 100 lambda.
    """
    steps = strength_steps(task.config.last_step, task.config.bon_points, _RANGE).tolist()
    proxy_PN = task.rate_samples()
    yield from weighted_points(task, proxy_PN, steps, lambda step: relative_weights(proxy_PN, step / STEPS_PER_LAMBDA))


def relative_weights(proxy_PN: Array, lambda_: float) -> Array:
    """N times the probability of each sample: exp(lambda * proxy) over its mean on the prompt.

    Args:
        proxy_PN: proxy score of the samples, gold standard deviations. Shape: (P, N).
        lambda_: 0 or more, per gold standard deviation.

    Returns:
        weights whose mean over the samples of a prompt is 1. Shape: (P, N).
    """
    weight_PN = np.exp(lambda_ * (proxy_PN - proxy_PN.max(axis=1, keepdims=True)))
    return weight_PN / weight_PN.mean(axis=1, keepdims=True)
