"""Every way to optimize a policy against a proxy reward. Each yields curve points.

A further method is one new file with a function `optimize(task) -> Iterator[CurvePoint]` and one line in `METHODS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from mlproject.optimization.best_of_n import BestOfNConfig
from mlproject.optimization.ppo_config import EARLY_STOPS, FORECAST, KL_BUDGET, STOPS, PPOConfig
from mlproject.options.declaration import Options

if TYPE_CHECKING:
    from mlproject.curve import CurvePoint
    from mlproject.optimization.task import OptimizationTask


@dataclass(frozen=True)
class Method:
    """A registered optimization method.

    Attributes:
        name: value of the tag `mlproject.method`.
        module: module of this package that has `optimize`.
        config_class: declares the options on which its curve depends.
        trains_policy: False where it only chooses among samples of the initial policy.
        shares_work: True where several processes can carry it out together, by `ppo_rollout_batch` and minibatches.
        version: raised when a change of the code changes its curves.
    """

    name: str
    module: str
    config_class: type[Options]
    trains_policy: bool = True
    shares_work: bool = False
    version: int = 1

    @property
    def options(self) -> tuple[str, ...]:
        """Names of its options that every preset gives a value."""
        return tuple(field.name for field in dataclasses.fields(self.config_class) if field.default is MISSING)

    @property
    def further(self) -> tuple[str, ...]:
        """Names of its options with a default of their own: parameters of a run only if they differ from it."""
        return tuple(field.name for field in dataclasses.fields(self.config_class) if field.default is not MISSING)

    @property
    def optimize(self) -> Callable[[OptimizationTask], Iterator[CurvePoint]]:
        """The method itself; its module is imported here, not before."""
        return import_module(f"{__name__}.{self.module}").optimize


_METHODS = (
    Method("best-of-n", "best_of_n", BestOfNConfig, trains_policy=False, version=2),
    Method("ppo", "ppo", PPOConfig, shares_work=True, version=2),
)

METHODS: dict[str, Method] = {method.name: method for method in _METHODS}

__all__ = ["EARLY_STOPS", "FORECAST", "KL_BUDGET", "METHODS", "STOPS", "Method"]
