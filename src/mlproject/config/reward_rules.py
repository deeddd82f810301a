"""What must hold between the options of a reward, and which of them make no difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlproject.cures import CURES, is_of_several, parse_reward
from mlproject.cures.options import BY_BOOTSTRAP, BY_SEED
from mlproject.options.declaration import BrokenRule
from mlproject.options.study import StudyOptions
from mlproject.options.values import to_text
from mlproject.preferences.loss_options import K_WISE

_OF_SEVERAL = ("ensemble_members", "ensemble_by", "ensemble_checkpoints", "search_ensemble_members")


def reward_rules(config: StudyOptions) -> Iterator[BrokenRule]:
    """Members that are given learn from nothing here, and are as many as they are."""
    given = config.ensemble_checkpoints
    if not given:
        return
    if config.ensemble_by == BY_BOOTSTRAP:
        must = f"be {BY_SEED} where ensemble_checkpoints are given, which learn from no comparisons here"
        yield BrokenRule("ensemble_by", must, "Remove one of the two options.")
    if config.search_ensemble_members:
        must = f"be empty where ensemble_checkpoints are given, of which there are {len(given)}"
        yield BrokenRule("search_ensemble_members", must, "Remove one of the two options.")
    if config.rounds > 1 and _is_of_several((config.reward, *config.search_rewards)):
        must = f"be empty where rounds={config.rounds}, since they learn from no comparisons of later rounds"
        yield BrokenRule("ensemble_checkpoints", must, "Use rounds=1, or members that are trained here.")


def idle_reward_options(config: StudyOptions) -> Iterator[str]:
    """Options that no reward reads, one line each; rewards that a search tries are rewards too."""
    rewards = (config.reward, *(config.search_rewards if config.n_trials else ()))
    named = {cure.name for text in rewards for cure in parse_reward(text)}
    read_by: dict[str, list[str]] = {}
    for cure in CURES.values():
        for option in cure.options:
            read_by.setdefault(option, []).append(cure.name)
    for option, value in config.changed(*read_by).items():
        if not named & set(read_by[option]):
            where, first = f"without {' or '.join(read_by[option])} in reward", read_by[option][0]
            yield _idle(option, value, where, f"Give reward={first}")
    if not _is_of_several(rewards):
        for option, value in config.changed(*_OF_SEVERAL).items():
            yield _idle(option, value, "where no reward is made of several reward models", "Give reward=mean")
    elif config.ensemble_checkpoints:
        for option, value in config.changed("ensemble_members").items():
            yield _idle(option, value, "where ensemble_checkpoints are given", "List as many of them")
    if not config.rm_text_weight:
        for option, value in config.changed("rm_text_beta").items():
            yield _idle(option, value, "where rm_text_weight is 0", "Give rm_text_weight")
    if config.rm_loss == K_WISE and config.ranked_responses == 2:
        yield _idle("rm_loss", K_WISE, "where ranked_responses is 2, so that each is one pair", "Rank more responses")


def _is_of_several(rewards: Sequence[str]) -> bool:
    return any(is_of_several(parse_reward(text)) for text in rewards)


def _idle(option: str, value: object, where: str, action: str) -> str:
    return f"{option}={to_text(value)}: makes no difference {where}. {action}, or remove the option."
