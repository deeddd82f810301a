"""Best-of-Poisson: draw n = 1 + Poisson(mu) responses, keep the one that the proxy likes best.

Khalaf et al. 2025 (arXiv 2506.19248): the proxy's quantile u of the response has the density
(1 + mu u) exp(mu (u - 1)), which nearly maximises the proxy at its KL, as soft best-of-n does exactly, and needs no
scores but their order.

Every mean n is read from the same pool of N samples per prompt, without bias: for each n by the estimator of best-of-n.
An n above N, of which there are few while mu is well below N, counts as N.

Axis letters: P prompts, N samples per prompt in the pool, G values of mu.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from mlproject.curve import Array
from mlproject.estimators import RankSelection, best_of_n_weights, n_grid
from mlproject.names import Diagnostic
from mlproject.optimization.best_of_n import BestOfNConfig
from mlproject.optimization.method import Method, MethodConfig
from mlproject.options.declaration import shared_option

if TYPE_CHECKING:
    from mlproject.curve import CurvePoint
    from mlproject.optimization.task import OptimizationTask

_TAIL = 1e-12
"""Probability of a Poisson variable that may be left out."""

_NODES, _LONGEST = 400, 80.0
"""Nodes of the quadrature of the KL, and the exponent beyond which the density is nothing."""


@dataclass(frozen=True, kw_only=True)
class BestOfPoissonConfig(MethodConfig):
    """Options of best-of-Poisson: those of best-of-n, whose largest n is here the largest mean of n."""

    HEADING: ClassVar[str] = "Best-of-Poisson"

    bon_n_max: int = shared_option(BestOfNConfig, "bon_n_max")
    bon_points: int = shared_option(BestOfNConfig, "bon_points")

    @property
    def last_step(self) -> int:
        return self.bon_n_max


METHOD = Method(
    "best-of-poisson",
    "best-of-Poisson",
    BestOfPoissonConfig,
    module=__name__,
    law="best-of-n",
    step_unit="mean n",
    kl_note="KL is not measured but computed from the mean of n, for responses that do not repeat: an upper bound.",
    trains_policy=False,
)


def optimize(task: OptimizationTask[BestOfPoissonConfig]) -> Iterator[CurvePoint]:
    """Yield one point per mean n = 1 + mu on a logarithmic grid; its step is the mean n.

    Each point also has on how many samples per prompt it rests (`effective_samples`).
    """
    proxy_PN = task.rate_samples()
    task.progress(0.8)
    n_G = n_grid(task.config.bon_n_max, task.config.bon_points)
    weights_GN = best_of_poisson_weights(proxy_PN.shape[1], n_G - 1)
    select = RankSelection(proxy_PN, weights_GN)
    quantile_P = np.random.default_rng(task.generator.initial_seed()).random(len(proxy_PN))
    yield from task.evaluator.evaluate_selection(
        n_G.tolist(),
        best_of_poisson_kl(n_G - 1),
        proxy_PN,
        select,
        select.draw(quantile_P),
        [{Diagnostic.EFFECTIVE_SAMPLES: float(1 / np.square(row_N).sum())} for row_N in weights_GN],
    )


def best_of_poisson_weights(N: int, mu_G: ArrayLike) -> Array:
    """Probability that the i-th smallest of N samples is the best of a random subset of 1 + Poisson(mu) of them.

    Args:
        N: samples in the pool.
        mu_G: means of the Poisson variable, 0 or more. Shape: (G,).

    Returns:
        weights by ascending rank; each row sums to 1. Shape: (G, N).
    """
    rows = []
    for mu in np.atleast_1d(np.asarray(mu_G, dtype=np.float64)).tolist():
        log_share_N = [k * math.log(mu) - mu - math.lgamma(k + 1) if mu > 0 else -math.inf * k for k in range(1, N)]
        share_N = np.exp([-mu, *log_share_N])
        share_N[-1] = max(0.0, 1 - share_N[:-1].sum())  # n = N, and all that are larger
        used = share_N > _TAIL / N
        rows.append(share_N[used] @ best_of_n_weights(N, 1 + np.flatnonzero(used)) / share_N[used].sum())
    return np.array(rows)


def best_of_poisson_kl(mu_G: ArrayLike) -> Array:
    """KL of best-of-Poisson from the initial policy where no two responses are equal; otherwise an upper bound.

    The integral of p log p over the proxy's quantile, p(u) = (1 + mu u) exp(mu (u - 1)).

    Args:
        mu_G: means of the Poisson variable, 0 or more. Shape: (G,).

    Returns:
        nats. Shape: (G,).
    """
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    kls = []
    for mu in np.atleast_1d(np.asarray(mu_G, dtype=np.float64)).tolist():
        if mu == 0:
            kls.append(0.0)
            continue
        width = min(mu, _LONGEST)
        below = width * (node + 1) / 2  # mu (1 - u): the density lies near u = 1
        factor = 1 + mu - below
        kls.append(float(width / 2 / mu * (weight @ (factor * np.exp(-below) * (np.log(factor) - below)))))
    return np.array(kls)
