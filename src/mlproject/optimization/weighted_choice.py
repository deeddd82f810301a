"""Curve points of rules that pick one of the pool's samples at random, with a probability for each sample.

Axis letters: P prompts, N samples per prompt in the pool, G grid entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlproject.curve import Array
from mlproject.names import Diagnostic

if TYPE_CHECKING:
    from mlproject.curve import CurvePoint
    from mlproject.optimization.task import OptimizationTask

KL_NOTE = "KL is exact for a choice from the pool: the mean of w log w, w = N p, over the N samples of a prompt."


def strength_steps(last: int, points: int, range: int) -> NDArray[np.int64]:
    """Distinct steps: 0, then from `last / range` to `last`, evenly spaced in their logarithm. Shape: (G,), at most
    `points`."""
    return np.unique([0, *np.geomspace(last / range, last, points - 1).round().astype(int)])


def weighted_points(
    task: OptimizationTask, proxy_PN: Array, steps: Sequence[int], weights_of: Callable[[int], Array]
) -> Iterator[CurvePoint]:
    """Yield one point per step.

    Each point also has the number of samples per prompt that it rests on, 1 / sum of p^2 (`effective_samples`).

    Args:
        task: the policy run's.
        proxy_PN: proxy score of the samples. Shape: (P, N).
        steps: of the points.
        weights_of: a step -> weights whose mean over the samples of a prompt is 1. Shape: (P, N). Called once for each
            property of the samples, so that one array of weights exists at a time.
    """
    task.progress(0.8)
    moments = [_moments(weights_of(step)) for step in steps]
    quantile_P = np.random.default_rng(task.generator.initial_seed()).random(len(proxy_PN))

    def select(values_PN: Array) -> Array:
        return np.stack([(weights_of(step) * values_PN).mean(axis=1) for step in steps])

    yield from task.evaluator.evaluate_selection(
        steps,
        np.array([kl for kl, _ in moments]),
        proxy_PN,
        select,
        np.stack([draw(proxy_PN, weights_of(step), quantile_P) for step in steps]),
        [{Diagnostic.EFFECTIVE_SAMPLES: effective} for _, effective in moments],
    )


def draw(proxy_PN: Array, weight_PN: Array, quantile_P: Array) -> NDArray[np.int64]:
    """One sample per prompt: the one at a quantile of the distribution over samples in ascending order of their score.

    With the same quantiles, a rule that moves probability to higher scores never picks a sample with a lower score.

    Args:
        proxy_PN: proxy score of the samples. Shape: (P, N).
        weight_PN: proportional to the probability of each sample. Shape: (P, N).
        quantile_P: each from 0 to 1, 1 excluded. Shape: (P,).

    Returns:
        indices in 0..N-1. Shape: (P,).
    """
    order_PN = proxy_PN.argsort(axis=1, kind="stable")
    cumulative_PN = np.take_along_axis(weight_PN, order_PN, axis=1).cumsum(axis=1)
    rank_P = (cumulative_PN <= quantile_P[:, None] * cumulative_PN[:, -1:]).sum(axis=1)
    return np.take_along_axis(order_PN, rank_P[:, None], axis=1)[:, 0]


def _moments(weight_PN: Array) -> tuple[float, float]:
    """(KL in nats, effective samples), means over prompts."""
    log_weight_PN = np.log(np.where(weight_PN > 0, weight_PN, 1.0))
    kl = float((weight_PN * log_weight_PN).mean())
    return kl, float((1 / np.square(weight_PN).mean(axis=1)).mean() * weight_PN.shape[1])
