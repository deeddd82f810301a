"""The search space: ordered grids of options, each searched by its index.

An index keeps the order that a categorical parameter lacks, and allows a coefficient of 0, which a log scale does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from optuna.distributions import IntDistribution

from mlproject.optimization import METHODS, Method

if TYPE_CHECKING:
    from mlproject.config.schema import Config

GRIDS = {
    "kl_coef": "search_kl_coefs",
    "rm_size": "search_rm_sizes",
    "n_comparisons": "search_n_comparisons",
    "ppo_lr": "search_ppo_lrs",
    "reward": "search_rewards",
    "ensemble_members": "search_ensemble_members",
    "align_beta": "search_align_betas",
}
"""Options that can be searched, and the options that hold their grids. An option with an empty grid is not searched."""

LATER_GRIDS = ("search_rewards", "search_ensemble_members", "search_align_betas")
"""Grids that identify a search only where they differ from their default, since there were searches before them."""

_OF_REWARDS = ("rm_size", "reward", "ensemble_members")
"""Options of the reward that is optimized, which a method that learns from comparisons has none of."""


def searchable(method: Method) -> list[str]:
    """Options that can be searched with a method: its own, and those of its reward and data."""
    foreign = {name for other in METHODS.values() for name in other.config_class.names()}
    foreign -= set(method.config_class.names())
    return [name for name in GRIDS if name not in foreign and (method.needs_proxy or name not in _OF_REWARDS)]


def value_text(value: Any) -> str:
    """A value of a grid, as it is written on the command line."""
    return f"{value:g}" if isinstance(value, float) else str(value)


class Coefficient(NamedTuple):
    """What holds the policies of a search near the initial one.

    Attributes:
        name: of the option.
        label: for people.
        unit: for people; empty for a bare number.
    """

    name: str
    label: str
    unit: str


def coefficient_of(rows: Sequence[Mapping[str, Any]]) -> Coefficient | None:
    """The coefficient that is a column of trials (all have the same columns); None where the method has none."""
    methods = (method for method in METHODS.values() if rows and rows[0].get(method.coefficient) is not None)
    return next((Coefficient(m.coefficient, m.coefficient_label, m.coefficient_unit) for m in methods), None)


@dataclass(frozen=True)
class Space:
    """Ordered grids of options.

    Attributes:
        grids: values of each option that is searched, in order.
    """

    grids: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, config: Config) -> Space:
        """The grids that are not empty, of what can be searched with the method; an ensemble of given checkpoints has
        no other sizes."""
        grids = {name: getattr(config, GRIDS[name]) for name in searchable(METHODS[config.searched_method])}
        given = config.ensemble_given_for(*(config.search_rewards or (config.reward,)))
        if given and "rm_size" in grids:
            grids["rm_size"] = (given,)
        return cls({name: values for name, values in grids.items() if values})

    def distributions(self) -> dict[str, IntDistribution]:
        """One integer parameter `<option>_index` for each grid."""
        return {f"{name}_index": IntDistribution(0, len(values) - 1) for name, values in self.grids.items()}

    def first(self, config: Config) -> list[dict[str, int]]:
        """Indices of the first trials, which no sampler proposes; see `search_first`.

        `best`: one trial, the most promising cell before any is known: the largest reward model, the most comparisons,
        the smallest KL coefficient, the largest beta and the first reward; learning rate and ensemble size are left to
        the sampler.
        `study`: the cells that the study runs itself, the largest reward model first; where none is in the grids, as
        `best`.
        """
        if config.search_first == "study" and (cells := self._of_study(config)):
            return cells
        ends = {"kl_coef": 0, "rm_size": -1, "n_comparisons": -1, "reward": 0, "align_beta": -1}
        best = {name: range(len(values))[ends[name]] for name, values in self.grids.items() if name in ends}
        return [{f"{name}_index": index for name, index in best.items()}]

    def _of_study(self, config: Config) -> list[dict[str, int]]:
        others = {name: getattr(config, name) for name in self.grids if name != "rm_size"}
        if config.seed not in config.seeds or any(value not in self.grids[name] for name, value in others.items()):
            return []
        sizes = [
            size
            for size in reversed(self.grids.get("rm_size", ()))
            if size in (config.given_ensemble, *config.rm_sizes)
        ]
        cells = [{**others, "rm_size": size} for size in sizes] if "rm_size" in self.grids else [others]
        return [{f"{name}_index": self.grids[name].index(value) for name, value in cell.items()} for cell in cells]

    def cell(self, params: Mapping[str, int]) -> dict[str, Any]:
        """Options by name, for parameters of a trial."""
        return {name: values[params[f"{name}_index"]] for name, values in self.grids.items()}
