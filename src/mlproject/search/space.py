"""The search space: ordered grids of options, each searched by its index.

An index keeps the order that a categorical parameter lacks, and allows a coefficient of 0, which a log scale does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.distributions import IntDistribution

from mlproject.optimization import METHODS

if TYPE_CHECKING:
    from mlproject.config.schema import Config

GRIDS = {
    "kl_coef": "search_kl_coefs",
    "rm_size": "search_rm_sizes",
    "n_comparisons": "search_n_comparisons",
    "ppo_lr": "search_ppo_lrs",
    "reward": "search_rewards",
    "ensemble_members": "search_ensemble_members",
}
"""Options that can be searched, and the options that hold their grids. An option with an empty grid is not searched."""

LATER_GRIDS = ("search_rewards", "search_ensemble_members")
"""Grids that identify a search only where they are not empty, since there were searches before there were these."""


@dataclass(frozen=True)
class Space:
    """Ordered grids of options.

    Attributes:
        grids: values of each option that is searched, in order.
    """

    grids: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, config: Config) -> Space:
        """The grids that are not empty, without options of other methods than the searched one."""
        of_methods = {name for method in METHODS.values() for name in method.config_class.names()}
        foreign = of_methods - set(METHODS[config.search_method].config_class.names())
        grids = {name: getattr(config, grid) for name, grid in GRIDS.items() if name not in foreign}
        return cls({name: values for name, values in grids.items() if values})

    def distributions(self) -> dict[str, IntDistribution]:
        """One integer parameter `<option>_index` for each grid."""
        return {f"{name}_index": IntDistribution(0, len(values) - 1) for name, values in self.grids.items()}

    def first(self, config: Config) -> list[dict[str, int]]:
        """Indices of the first trials, which no sampler proposes; see `search_first`.

        `best`: one trial, the most promising cell before any is known: the largest reward model, the most comparisons,
        the smallest KL coefficient and the first reward; learning rate and ensemble size are left to the sampler.
        `study`: the cells that the study runs itself, the largest reward model first; where none is in the grids, as
        `best`.
        """
        if config.search_first == "study" and (cells := self._of_study(config)):
            return cells
        ends = {"kl_coef": 0, "rm_size": -1, "n_comparisons": -1, "reward": 0}
        best = {name: range(len(values))[ends[name]] for name, values in self.grids.items() if name in ends}
        return [{f"{name}_index": index for name, index in best.items()}]

    def _of_study(self, config: Config) -> list[dict[str, int]]:
        others = {name: getattr(config, name) for name in self.grids if name != "rm_size"}
        if config.seed not in config.seeds or any(value not in self.grids[name] for name, value in others.items()):
            return []
        cells = [{**others, "rm_size": size} for size in reversed(self.grids["rm_size"]) if size in config.rm_sizes]
        return [{f"{name}_index": self.grids[name].index(value) for name, value in cell.items()} for cell in cells]

    def cell(self, params: Mapping[str, int]) -> dict[str, Any]:
        """Options by name, for parameters of a trial."""
        return {name: values[params[f"{name}_index"]] for name, values in self.grids.items()}
