"""Every way to optimize a policy against a proxy reward. Each yields curve points.

A further method is one new file with a function `optimize(task) -> Iterator[CurvePoint]` and one line in `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlproject.curve import CurvePoint
    from mlproject.optimization.task import OptimizationTask


@dataclass(frozen=True)
class Method:
    """A registered optimization method.

    Attributes:
        name: value of the tag `mlproject.method`.
        module: module of this package that has `optimize`.
        options: names of the configuration that its curve depends on.
        further: likewise, but left out of the run's parameters where they have their default.
        trains_policy: False where it only chooses among samples of the initial policy.
        shares_work: True where several processes can carry it out together, by `ppo_rollout_batch` and minibatches.
        version: raised when a change of the code changes its curves.
    """

    name: str
    module: str
    options: tuple[str, ...]
    further: tuple[str, ...] = ()
    trains_policy: bool = True
    shares_work: bool = False
    version: int = 1

    @property
    def optimize(self) -> Callable[[OptimizationTask], Iterator[CurvePoint]]:
        """The method itself; its module is imported here, not before."""
        return import_module(f"{__name__}.{self.module}").optimize


_METHODS = (
    Method("best-of-n", "best_of_n", ("bon_n_max", "bon_points"), trains_policy=False, version=2),
    Method(
        "ppo",
        "ppo",
        ("kl_coef", "ppo_updates", "ppo_batch_size", "ppo_epochs", "ppo_minibatches", "ppo_lr", "ppo_value_lr",
         "ppo_clip", "ppo_gae_lambda", "ppo_eval_first", "ppo_eval_every", "eval_samples", "stop"),
        further=("ppo_rollout_batch", "ppo_mixed_precision", "lora_rank"),
        shares_work=True,
        version=2,
    ),
)  # fmt: skip

METHODS: dict[str, Method] = {method.name: method for method in _METHODS}

FORECAST, KL_BUDGET = "forecast", "kl-budget"
EARLY_STOPS = (FORECAST, KL_BUDGET)
STOPS = ("budget", *EARLY_STOPS)
"""What may end a policy run: its budget of updates, a forecast that the peak is behind, or the KL at which policies
peaked that were optimized against the same registered reward model before."""
