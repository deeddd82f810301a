"""Best-of-n: draw n responses, keep the one that the proxy likes best.

Every n is read from the same pool of N samples per prompt with the unbiased estimator (Nakano et al. 2021, appendix I).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlproject.curve import CurvePoint
from mlproject.estimators import BestOfN, best_of_n_kl_bound, n_grid
from mlproject.optimization.problem import Problem


def optimize(problem: Problem) -> Iterator[CurvePoint]:
    """Yield one point per n on a logarithmic grid; its step is n, its KL the bound log n - (n - 1)/n."""
    proxy_PN = problem.proxy.scores(problem.samples).reshape(-1, problem.samples_per_prompt)
    problem.progress(0.8)
    ns = n_grid(problem.options["bon_n_max"], problem.options["bon_points"])
    first_n_best_GP = np.stack([proxy_PN[:, :n].argmax(axis=1) for n in ns])
    yield from problem.meter.of_pool(
        ns.tolist(), best_of_n_kl_bound(ns), proxy_PN, BestOfN(proxy_PN, ns), first_n_best_GP
    )
