"""A sampler that proposes no cell of a grid twice while others are untried: a cell again measures nothing new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from optuna.study import Study

Cell = tuple[int, ...]

_DRAWS = 16
"""Proposals that are asked of the sampler before the nearest untried cell is taken."""


class DistinctSampler(BaseSampler):
    """Proposes what another sampler proposes, unless an earlier trial has that cell.

    A cell counts as tried by trials with a lower number that are finished, running or waiting; a failed one does not,
    since its run may be repeated. Where no cell is left, cells repeat.

    Args:
        base: proposes cells. Asked again for another one, a random sampler gives one; of a deterministic one, the
            untried cell that is nearest to its proposal is taken.
        space: the whole grid, one integer for each option.
    """

    def __init__(self, base: BaseSampler, space: Mapping[str, IntDistribution]) -> None:
        self._base, self._space = base, dict(space)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole grid: cells are proposed as one."""
        return dict(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A cell that no earlier trial has."""
        tried, proposed = self._tried(study, trial), self._propose(study, trial)
        untried = [cell for cell in self._cells() if cell not in tried]
        if not untried:
            return self._params(proposed)
        for _ in range(_DRAWS):
            if proposed not in tried:
                return self._params(proposed)
            proposed = self._propose(study, trial)
        return self._params(min(untried, key=lambda cell: _distance(cell, proposed)))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter outside of the grid, as the other sampler proposes it."""
        return self._base.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._base.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._base.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self._base.reseed_rng()

    def _propose(self, study: Study, trial: FrozenTrial) -> Cell:
        relative = self._base.sample_relative(study, trial, self._base.infer_relative_search_space(study, trial))
        return tuple(
            relative[name] if name in relative else self._base.sample_independent(study, trial, name, distribution)
            for name, distribution in self._space.items()
        )

    def _tried(self, study: Study, trial: FrozenTrial) -> set[Cell]:
        cells = set()
        for other in study.get_trials(deepcopy=False):
            params = other.params or other.system_attrs.get("fixed_params", {})
            if other.number < trial.number and other.state != TrialState.FAIL and set(params) >= set(self._space):
                cells.add(tuple(params[name] for name in self._space))
        return cells

    def _cells(self) -> list[Cell]:
        return list(product(*(range(each.low, each.high + 1) for each in self._space.values())))

    def _params(self, cell: Cell) -> dict[str, Any]:
        return dict(zip(self._space, cell, strict=True))


def _distance(one: Cell, other: Cell) -> int:
    """Steps of the grid between two cells."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))
