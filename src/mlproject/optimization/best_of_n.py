"""Best-of-n: draw n responses, keep the one that the proxy likes best.

Every n is read from the same pool of N samples per prompt with the unbiased estimator (Nakano et al. 2021, appendix I).

Axis letters: P prompts, N samples per prompt in the pool, G values of n.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mlproject.curve import Array
from mlproject.estimators import BestOfN, beirami_kl, best_of_n_kl_bound, effective_sample_size, n_grid
from mlproject.names import Diagnostic
from mlproject.optimization.method import Method
from mlproject.optimization.method_config import MethodConfig
from mlproject.options.declaration import BrokenRule, option

if TYPE_CHECKING:
    from mlproject.curve import CurvePoint
    from mlproject.optimization.task import OptimizationTask
    from mlproject.options.study import StudyOptions


_BLOCK = 2**20
"""Samples at a time."""


@dataclass(frozen=True, kw_only=True)
class BestOfNConfig(MethodConfig):
    """Options of best-of-n."""

    HEADING: ClassVar[str] = "Best-of-n"

    bon_n_max: int = option("largest n; at most pool_samples / 4 for a precise estimate", minimum=2, maximum=1_000_000)
    bon_points: int = option("points of a curve", minimum=4, maximum=1000)

    @property
    def last_step(self) -> int:
        return self.bon_n_max

    def broken_rules(self, config: StudyOptions) -> Iterator[BrokenRule]:
        """The pool must hold n samples per prompt."""
        if self.bon_n_max > config.pool_samples:
            yield BrokenRule(
                "bon_n_max", f"be at most pool_samples={config.pool_samples}", "Lower it or raise pool_samples."
            )

    def warnings(self, config: StudyOptions) -> Iterator[str]:
        """The largest n needs several times as many samples for a precise estimate."""
        if 4 * self.bon_n_max > config.pool_samples:
            effective = effective_sample_size(config.pool_samples, self.bon_n_max)
            yield (
                f"bon_n_max={self.bon_n_max} with pool_samples={config.pool_samples}: the last point rests on only "
                f"{effective:.1f} effective samples per prompt. With pool_samples={4 * self.bon_n_max} it rests on "
                "about 7."
            )


def n_at_kl(kl: float) -> int:
    """The n whose `best_of_n_kl_bound` is nearest to a KL.

    Args:
        kl: nats; 0 or less gives 1, and all beyond 40 nats the same n.
    """
    if kl <= 0:
        return 1
    n, kl = 2.0, min(kl, 40.0)
    for _ in range(200):  # log n = kl + (n - 1) / n, a contraction to the solution above 1
        n = float(np.exp(kl + (n - 1) / n))
    return min((int(n), int(n) + 1), key=lambda each: abs(float(best_of_n_kl_bound(each)) - kl))


METHOD = Method(
    "best-of-n",
    "best-of-n",
    BestOfNConfig,
    module=__name__,
    law="best-of-n",
    step_unit="n",
    kl_note="KL is not measured but computed from n: log n − (n−1)/n nats, an upper bound.",
    trains_policy=False,
    step_of_kl=n_at_kl,
    version=2,
)


def optimize(task: OptimizationTask[BestOfNConfig]) -> Iterator[CurvePoint]:
    """Yield one point per n on a logarithmic grid; its step is n, its KL the bound log n - (n - 1)/n.

    Each point also has the KL as it is where responses repeat (`kl_true`, Beirami et al. 2024), and on how many samples
    per prompt it rests (`effective_samples`).
    """
    proxy_PN = task.rate_samples()
    log_prob_PN = task.samples.log_prob_PN
    task.progress(0.8)
    n_G = n_grid(task.config.bon_n_max, task.config.bon_points)
    best_of_first_n_GP = np.stack([proxy_PN[:, :n].argmax(axis=1) for n in n_G])
    select = BestOfN(proxy_PN, n_G)
    diagnostics_G = [
        {
            Diagnostic.KL_TRUE: float(select(_true_kl_PN(log_prob_PN, n), index=g).mean()),
            Diagnostic.EFFECTIVE_SAMPLES: effective_sample_size(proxy_PN.shape[1], n),
        }
        for g, n in enumerate(n_G.tolist())
    ]
    del log_prob_PN  # as large as the pool
    yield from task.evaluator.evaluate_selection(
        n_G.tolist(), best_of_n_kl_bound(n_G), proxy_PN, select, best_of_first_n_GP, diagnostics_G
    )


def _true_kl_PN(log_prob_PN: Array, n: int) -> Array:
    """`beirami_kl` for some prompts at a time: it makes several arrays of the size of what it is given."""
    kl_PN = np.empty(log_prob_PN.shape)
    rows = max(1, _BLOCK // log_prob_PN.shape[1])
    for start in range(0, len(kl_PN), rows):
        kl_PN[start : start + rows] = beirami_kl(log_prob_PN[start : start + rows], n)
    return kl_PN
