"""Cures of over-optimization that are rewards: made of one proxy RM or of several, and optimized in their place.

A further cure is one new file with a `CURE`, its formula and its source, and one line in `_MODULES`; the module imports
nothing heavy, since the configuration reads it. A reward is a chain of cures, applied in the order in which it names
them (`worst-case+par`): those that change each member (`laplace`), one that makes one reward of several (an ensemble,
`warm`), and those that shape a reward. After each, the reward is put on gold's scale again, as every proxy RM is, so
that the next one, a KL penalty and the curves read gold standard deviations above the initial policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from mlproject.cures.cure import COMBINE, PLAIN, SHAPE, Cure
from mlproject.errors import UserError

__all__ = [
    "COMBINE",
    "CURES",
    "PLAIN",
    "REWARD_PARAMS",
    "SHAPE",
    "Cure",
    "is_of_several",
    "members_of",
    "parse_reward",
    "passes_of",
    "written",
]

_MODULES = (
    "mlproject.cures.laplace",
    "mlproject.cures.mean",
    "mlproject.cures.worst_case",
    "mlproject.cures.uncertainty_weighted",
    "mlproject.cures.median",
    "mlproject.cures.mean_minus_sd",
    "mlproject.cures.warm",
    "mlproject.cures.par",
    "mlproject.cures.log_sigmoid",
    "mlproject.cures.min_max",
    "mlproject.cures.clip",
    "mlproject.cures.ceiling",
)

CURES: dict[str, Cure] = {cure.name: cure for cure in (import_module(name).CURE for name in _MODULES)}
"""The registered cures by name."""


REWARD_PARAMS = (
    "reward",
    "ensemble_members",
    "ensemble_by",
    *dict.fromkeys(name for cure in CURES.values() for name in cure.options),
)
"""Parameters of a reward with cures, which its policy runs repeat."""


def parse_reward(text: str) -> tuple[Cure, ...]:
    """The cures that a reward names, in the order in which they are applied; none for `single`.

    Args:
        text: `single`, or names of cures with `+` or a comma between them.

    Raises:
        UserError: for an unknown cure, or a chain that cannot be applied.

    Examples:
        >>> from mlproject.cures import parse_reward
        >>> [cure.name for cure in parse_reward("worst-case,par")]
        ['worst-case', 'par']
    """
    names = [name.strip() for name in text.replace(",", "+").split("+")]
    if names == [PLAIN]:
        return ()
    if unknown := [name for name in names if name not in CURES]:
        raise UserError(
            f"reward={text}: must be {PLAIN}, or cures with + between them, but {unknown[0] or 'nothing'} is none. "
            f"Choose among {', '.join(CURES)}."
        )
    cures = tuple(CURES[name] for name in names)
    if len(set(names)) < len(names):
        raise UserError(f"reward={text}: must name each cure once. Remove what is named again.")
    combining = [cure.name for cure in cures if cure.stage == COMBINE]
    if len(combining) > 1:
        raise UserError(
            f"reward={text}: must make one reward of several once, but {' and '.join(combining)} both do. Keep one."
        )
    order = [cure.name for cure in cures if cure.stage == SHAPE]
    if order and combining and names.index(order[0]) < names.index(combining[0]):
        raise UserError(
            f"reward={text}: must shape after {combining[0]}, which makes one reward of several. Put {order[0]} behind."
        )
    for cure in cures:
        if cure.averages_weights and names[0] != cure.name:
            before = [name for name in names if name != cure.name]
            raise UserError(
                f"reward={text}: must average weights as they were trained, but {names[0]} comes before and changes "
                f"them. Put {cure.name} first: {'+'.join([cure.name, *before])}."
            )
        if cure.needs_weights and (
            before := [name for name in names[: names.index(cure.name)] if CURES[name].ends_weights]
        ):
            raise UserError(
                f"reward={text}: {cure.name} reads the weights of one reward model, and {before[0]} has none. Put "
                f"{cure.name} first."
            )
    return cures


def written(cures: tuple[Cure, ...]) -> str:
    """A chain of cures as params, names and tags have it: `worst-case+par`; `single` without any."""
    return "+".join(cure.name for cure in cures) or PLAIN


def members_of(cures: tuple[Cure, ...], members: int) -> int:
    """Number of reward models that a chain is made of, where an ensemble has so many members."""
    return members if is_of_several(cures) else 1


def is_of_several(cures: Iterable[Cure]) -> bool:
    """Whether some cure makes one reward of several."""
    return any(cure.stage == COMBINE for cure in cures)


def passes_of(cures: tuple[Cure, ...], members: int) -> int:
    """Number of reward models that read each response, of those that a chain is made of."""
    return members if any(cure.combine for cure in cures) else 1
