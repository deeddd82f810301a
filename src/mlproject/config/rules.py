"""What must hold between options, and what is allowed but unwise."""

from __future__ import annotations

from collections.abc import Iterator

from mlproject.config.reward_rules import idle_reward_options, reward_rules
from mlproject.config.search_options import FORWARD_PASSES
from mlproject.errors import UserError
from mlproject.models.sizes import SIZES
from mlproject.names.quoting import can_be_searched
from mlproject.optimization import METHODS
from mlproject.options.declaration import BrokenRule
from mlproject.options.study import StudyOptions
from mlproject.options.values import to_text
from mlproject.preferences.loss_options import PLACKETT_LUCE
from mlproject.worlds import WORLDS

_LONGEST_NAME = 200
"""Bytes: a name of a folder may have 255 of them, and more is put behind it."""


def check_rules(config: StudyOptions) -> None:
    """Check the options against each other.

    Raises:
        UserError: for the first rule that does not hold.
    """
    for rule in _broken_rules(config):
        value = to_text(getattr(config, rule.option))
        value = value if value.isprintable() else repr(value)
        raise UserError(f"{rule.option}={value}: must {rule.must}. {rule.action}")


def warnings_for(config: StudyOptions) -> list[str]:
    """What is allowed but unwise, one line each."""
    warnings = []
    if config.gold_source.is_test_rm:
        warnings.append(
            f"gold={config.gold}: a test RM ({config.gold_size}) plays gold. A test RM that is no larger than a proxy "
            "is fooled by the same responses, so use the largest that you can (docs/early_warning.md)."
        )
    warnings += [warning for method in METHODS for warning in config.of_method(method).warnings(config)]
    warnings += idle_reward_options(config)
    return list(dict.fromkeys(warnings))  # methods share options


def _broken_rules(config: StudyOptions) -> Iterator[BrokenRule]:
    for method in METHODS:
        yield from config.of_method(method).broken_rules(config)
    yield from _search_rules(config)
    yield from _name_rules(config)
    yield from _ranking_rules(config)
    yield from reward_rules(config)
    yield from config.gold_source.broken_rules(config)
    yield from _world_rules(config)


def _search_rules(config: StudyOptions) -> Iterator[BrokenRule]:
    method = METHODS[config.searched_method]
    if config.search_objective == FORWARD_PASSES and not method.needs_proxy:
        must = f"be another one for {method.name}, which optimizes no reward model"
        yield BrokenRule("search_objective", must, "Use peak, peak-and-updates or peak-and-comparisons.")
    action = "List the values from smallest to largest."
    for name in ("search_kl_coefs", "search_n_comparisons", "search_ppo_lrs", "search_align_betas"):
        if list(getattr(config, name)) != sorted(getattr(config, name)):
            yield BrokenRule(name, "be increasing", action)
    sizes = config.search_rm_sizes
    if all(size in SIZES for size in sizes) and list(sizes) != sorted(sizes, key=_parameters):
        yield BrokenRule("search_rm_sizes", "be increasing", action)


def _ranking_rules(config: StudyOptions) -> Iterator[BrokenRule]:
    if config.ranked_responses > 2 and config.preferences:
        must = "be 2 where preferences are given, which are pairs"
        yield BrokenRule("ranked_responses", must, "Remove one of the two options.")
    if config.rm_loss == PLACKETT_LUCE:
        for name in ("rm_margin", "rm_label_smoothing"):
            if getattr(config, name):
                must = f"be 0 with rm_loss={PLACKETT_LUCE}, which compares no pairs"
                yield BrokenRule(name, must, "Use rm_loss=k-wise.")


def _name_rules(config: StudyOptions) -> Iterator[BrokenRule]:
    names = ("experiment", "registered_model", "study")
    for name in (name for name in names if not _is_storable(getattr(config, name))):
        must = f"be a name of printable characters, of at most {_LONGEST_NAME} bytes"
        yield BrokenRule(name, must, "Remove the option or give a name.")
    for name in (name for name in names[1:] if not can_be_searched(getattr(config, name))):
        yield BrokenRule(name, "hold one kind of quotes, and no backslash at its end", "Use another name.")
    if "/" in config.experiment or config.experiment in (".", ".."):
        yield BrokenRule("experiment", "be a name without '/'", "Use another name.")
    if set(config.registered_model) & set("/:."):
        yield BrokenRule("registered_model", "be a name without '/', ':' or '.'", "Use another name.")


def _is_storable(name: str) -> bool:
    """Whether tracking server, registry and file systems take a name."""
    return bool(name.strip()) and len(name.encode(errors="replace")) <= _LONGEST_NAME and name.isprintable()


def _world_rules(config: StudyOptions) -> Iterator[BrokenRule]:
    for world in WORLDS.values():
        if world is not config.world_spec:
            for name in world.options:
                if getattr(config, name):
                    action = f"Remove the option or use world={world.name}."
                    yield BrokenRule(name, f"be empty when world={config.world}", action)
    yield from config.world_spec.broken_rules(config)


def _parameters(size: str) -> int:
    return SIZES[size].reward_model_parameters
