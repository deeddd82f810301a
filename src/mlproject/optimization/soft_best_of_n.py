"""Soft best-of-n: pick one of the pool's samples at random, with probability proportional to exp(lambda * proxy).

Among all ways to select from the samples it has the highest proxy score at its KL from the initial policy: it is the
optimum of proxy - KL / lambda on the pool. lambda = 0 is the initial policy; for large lambda it becomes best of N.

Axis letters: P prompts, N samples per prompt in the pool, G grid entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from mlproject.curve import Array
from mlproject.names import Diagnostic
from mlproject.optimization.best_of_n import BestOfNConfig
from mlproject.optimization.method import Method, MethodConfig
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
    kl_note="KL is exact for a choice from the pool: the mean of w log w, w = N p, over the N samples of a prompt.",
    trains_policy=False,
)


def optimize(task: OptimizationTask[SoftBestOfNConfig]) -> Iterator[CurvePoint]:
    """Yield one point per lambda: 0, then evenly spaced in log lambda up to `soft_bon_lambda_max`.

    A step is 100 lambda. Each point also has the number of samples per prompt that it rests on, 1 / sum of p^2
    (`effective_samples`).
    """
    proxy_PN = task.rate_samples()
    task.progress(0.8)
    steps = lambda_steps(task.config)
    lambda_G = steps / STEPS_PER_LAMBDA
    moments = [_moments(proxy_PN, each) for each in lambda_G]
    quantile_P = np.random.default_rng(task.generator.initial_seed()).random(len(proxy_PN))

    def select(values_PN: Array) -> Array:
        return np.stack([(relative_weights(proxy_PN, each) * values_PN).mean(axis=1) for each in lambda_G])

    yield from task.evaluator.evaluate_selection(
        steps.tolist(),
        np.array([kl for kl, _ in moments]),
        proxy_PN,
        select,
        np.stack([draw(proxy_PN, each, quantile_P) for each in lambda_G]),
        [{Diagnostic.EFFECTIVE_SAMPLES: effective} for _, effective in moments],
    )


def lambda_steps(config: SoftBestOfNConfig) -> NDArray[np.int64]:
    """Distinct steps of a curve, both ends included. Shape: (G,), at most `bon_points`."""
    last = config.last_step
    return np.unique([0, *np.geomspace(last / _RANGE, last, config.bon_points - 1).round().astype(int)])


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


def draw(proxy_PN: Array, lambda_: float, quantile_P: Array) -> NDArray[np.int64]:
    """One sample per prompt: the one at a quantile of the distribution over samples in ascending order of their score.

    With the same quantiles, a larger lambda never picks a sample with a lower score.

    Args:
        proxy_PN: proxy score of the samples. Shape: (P, N).
        lambda_: 0 or more.
        quantile_P: each from 0 to 1, 1 excluded. Shape: (P,).

    Returns:
        indices in 0..N-1. Shape: (P,).
    """
    order_PN = proxy_PN.argsort(axis=1, kind="stable")
    cumulative_PN = np.take_along_axis(relative_weights(proxy_PN, lambda_), order_PN, axis=1).cumsum(axis=1)
    rank_P = (cumulative_PN <= quantile_P[:, None] * cumulative_PN[:, -1:]).sum(axis=1)
    return np.take_along_axis(order_PN, rank_P[:, None], axis=1)[:, 0]


def _moments(proxy_PN: Array, lambda_: float) -> tuple[float, float]:
    """(KL in nats, effective samples) of one lambda, means over prompts."""
    weight_PN = relative_weights(proxy_PN, lambda_)
    log_weight_PN = np.log(np.where(weight_PN > 0, weight_PN, 1.0))
    kl = float((weight_PN * log_weight_PN).mean())
    return kl, float((1 / np.square(weight_PN).mean(axis=1)).mean() * proxy_PN.shape[1])
