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
}
"""Options that can be searched, and the options that hold their grids. An option with an empty grid is not searched."""


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

    def first(self) -> dict[str, int]:
        """Indices of the most promising cell before any trial: the largest reward model, the most comparisons and the
        smallest KL coefficient. The learning rate is left to the sampler."""
        best = {"kl_coef": 0, "rm_size": -1, "n_comparisons": -1}
        return {f"{name}_index": range(len(values))[best[name]] for name, values in self.grids.items() if name in best}

    def cell(self, params: Mapping[str, int]) -> dict[str, Any]:
        """Options by name, for parameters of a trial."""
        return {name: values[params[f"{name}_index"]] for name, values in self.grids.items()}
