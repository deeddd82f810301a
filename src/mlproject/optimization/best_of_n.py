"""Best-of-n: draw n responses, keep the one that the proxy likes best.

Every n is read from the same pool of N samples per prompt with the unbiased estimator (Nakano et al. 2021, appendix I).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mlproject.curve import CurvePoint
from mlproject.estimators import BestOfN, beirami_kl, best_of_n_kl_bound, effective_sample_size, n_grid
from mlproject.names import Diagnostic
from mlproject.options.declaration import Options, option

if TYPE_CHECKING:
    from mlproject.optimization.task import OptimizationTask


@dataclass(frozen=True, kw_only=True)
class BestOfNConfig(Options):
    """Options of best-of-n."""

    HEADING: ClassVar[str] = "Best-of-n"

    bon_n_max: int = option("largest n; at most pool_samples / 4 for a precise estimate", minimum=2)
    bon_points: int = option("points of a curve", minimum=4, maximum=1000)


def optimize(task: OptimizationTask) -> Iterator[CurvePoint]:
    """Yield one point per n on a logarithmic grid; its step is n, its KL the bound log n - (n - 1)/n.

    Beside it stand the KL as it is where responses repeat (`kl_true`, Beirami et al. 2024), and on how many samples per
    prompt the point rests (`effective_samples`).
    """
    proxy_PN = task.proxy.rate(task.samples).reshape(-1, task.samples_per_prompt)
    task.progress(0.8)
    ns = n_grid(task.options["bon_n_max"], task.options["bon_points"])
    first_n_best_GP = np.stack([proxy_PN[:, :n].argmax(axis=1) for n in ns])
    select = BestOfN(proxy_PN, ns)
    diagnostics_G = [
        {
            Diagnostic.KL_TRUE: float(select(beirami_kl(task.log_prob_PN, n), index=g).mean()),
            Diagnostic.EFFECTIVE_SAMPLES: effective_sample_size(task.samples_per_prompt, n),
        }
        for g, n in enumerate(ns.tolist())
    ]
    yield from task.evaluator.evaluate_selection(
        ns.tolist(), best_of_n_kl_bound(ns), proxy_PN, select, first_n_best_GP, diagnostics_G
    )
