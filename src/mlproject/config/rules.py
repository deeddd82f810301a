"""What must hold between options, and what is allowed but unwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlproject.errors import UserError
from mlproject.models.sizes import SIZES, is_checkpoint
from mlproject.names import GoldKind
from mlproject.optimization import METHODS
from mlproject.options.declaration import BrokenRule
from mlproject.options.values import to_text
from mlproject.worlds import FILES

if TYPE_CHECKING:
    from mlproject.config.schema import Config

TRAINED, NONE = "trained", "none"
"""Values of the option `gold` that name no scorer: trained on the embedded human; none, so that a test RM plays it."""

_FUNCTION = re.compile(r"[\w.]+:\w+")


def check_rules(config: Config) -> None:
    """Check the options against each other.

    Raises:
        UserError: for the first rule that does not hold.
    """
    for rule in _broken_rules(config):
        value = to_text(getattr(config, rule.option))
        raise UserError(f"{rule.option}={value}: must {rule.must}. {rule.action}")


def warnings_for(config: Config) -> list[str]:
    """What is allowed but unwise, one line each."""
    warnings = []
    if config.gold == NONE:
        warnings.append(
            f"gold={NONE}: a test RM ({config.gold_size}) plays gold. A test RM that is no larger than a proxy is "
            "fooled by the same responses, so use the largest that you can (docs/early_warning.md)."
        )
    if 4 * config.bon_n_max <= config.pool_samples:
        return warnings
    from mlproject.estimators import effective_sample_size

    effective = effective_sample_size(config.pool_samples, config.bon_n_max)
    return [
        *warnings,
        f"bon_n_max={config.bon_n_max} with pool_samples={config.pool_samples}: the last point rests on only "
        f"{effective:.1f} effective samples per prompt. With pool_samples={4 * config.bon_n_max} it rests on about 7.",
    ]


def gold_kind(config: Config) -> str:
    """Value of the tag `GOLD`."""
    if config.gold in (TRAINED, NONE):
        return TRAINED if config.gold == TRAINED else GoldKind.TEST_RM
    return GoldKind.FUNCTION if is_function(config.gold) else GoldKind.CHECKPOINT


def is_function(name: str) -> bool:
    """Whether a name has the form PACKAGE.MODULE:FUNCTION."""
    return _FUNCTION.fullmatch(name) is not None


def _broken_rules(config: Config) -> Iterator[BrokenRule]:
    yield from _size_rules(config)
    if config.bon_n_max > config.pool_samples:
        yield BrokenRule(
            "bon_n_max", f"be at most pool_samples={config.pool_samples}", "Lower it or raise pool_samples."
        )
    for method in METHODS.values():
        yield from method.config_class.broken_rules(config)
    yield from _search_rules(config)
    yield from _name_rules(config)
    yield from _gold_rules(config)
    yield from _file_rules(config)


def _size_rules(config: Config) -> Iterator[BrokenRule]:
    sizes = [name for name in (*config.rm_sizes, *config.search_rm_sizes, config.rm_size) if name in SIZES]
    if is_checkpoint(config.gold_size) and (config.gold != NONE or config.world != FILES):
        yield BrokenRule(
            "gold_size",
            f"be one of {', '.join(SIZES)} unless world={FILES} and gold={NONE}",
            "Use gold=CHECKPOINT for a gold RM of your own.",
        )
    elif config.gold == TRAINED and sizes:
        largest = max(sizes, key=_parameters)
        if _parameters(config.gold_size) < _parameters(largest):
            yield BrokenRule(
                "gold_size",
                f"be at least the largest proxy RM, {largest}",
                "Raise it, or leave that size out of rm_sizes, rm_size and search_rm_sizes.",
            )


def _search_rules(config: Config) -> Iterator[BrokenRule]:
    action = "List the values from smallest to largest."
    for name in ("search_kl_coefs", "search_n_comparisons", "search_ppo_lrs"):
        if list(getattr(config, name)) != sorted(getattr(config, name)):
            yield BrokenRule(name, "be increasing", action)
    sizes = config.search_rm_sizes
    if all(size in SIZES for size in sizes) and list(sizes) != sorted(sizes, key=_parameters):
        yield BrokenRule("search_rm_sizes", "be increasing", action)


def _name_rules(config: Config) -> Iterator[BrokenRule]:
    if not config.experiment.strip() or "/" in config.experiment:
        yield BrokenRule("experiment", "be a name without '/'", "Use another name.")
    if not config.registered_model or set(config.registered_model) & set("/:."):
        yield BrokenRule("registered_model", "be a name without '/', ':' or '.'", "Use another name.")
    if not config.study.strip():
        yield BrokenRule("study", "be a name", "Remove the option or give a name.")


def _gold_rules(config: Config) -> Iterator[BrokenRule]:
    if config.gold not in (TRAINED, NONE) and not is_checkpoint(config.gold) and not is_function(config.gold):
        yield BrokenRule(
            "gold",
            "be trained, none, a checkpoint (./FOLDER or OWNER/NAME), or PACKAGE.MODULE:FUNCTION",
            "Write ./NAME for a folder here.",
        )
    test_rms = {config.rm_size if size == "same" else size for size in config.test_rms}
    if config.gold == NONE and config.gold_size in test_rms:
        yield BrokenRule(
            "test_rms",
            f"not include gold_size={config.gold_size} when gold={NONE}, since that RM plays gold",
            "Remove that size.",
        )
    if config.gold == NONE and config.rounds > 1:
        yield BrokenRule(
            "rounds",
            f"be 1 when gold={NONE}, since nothing can label the comparisons of a later round",
            "Remove the option or give a gold RM.",
        )


def _file_rules(config: Config) -> Iterator[BrokenRule]:
    if config.world != FILES:
        for name in ("prompts", "preferences", "policy"):
            if getattr(config, name):
                yield BrokenRule(
                    name, f"be empty when world={config.world}", f"Remove the option or use world={FILES}."
                )
        return
    if not config.policy:
        yield BrokenRule(
            "policy", f"be a checkpoint (./FOLDER or OWNER/NAME) when world={FILES}", "Give policy=CHECKPOINT."
        )
    if not config.prompts and not config.preferences:
        yield BrokenRule(
            "prompts",
            f"be a file when world={FILES} and preferences is empty",
            "Give prompts=FILE.",
        )
    if config.gold == TRAINED:
        yield BrokenRule(
            "gold",
            f"be a checkpoint, PACKAGE.MODULE:FUNCTION or none when world={FILES}, which has no human judgement",
            "Give gold=CHECKPOINT, gold=PACKAGE.MODULE:FUNCTION or gold=none.",
        )
    if config.gold == NONE and not config.preferences:
        yield BrokenRule(
            "preferences",
            f"be a file when world={FILES} and gold={NONE}, since the reward models learn from it",
            "Give preferences=FILE.",
        )
    if len(config.preference_fields) != 3:
        yield BrokenRule(
            "preference_fields", "be three names: prompt, chosen, rejected", "Name the three fields in this order."
        )
    if config.rm_policy_size != "same":
        yield BrokenRule("rm_policy_size", f"be 'same' when world={FILES}", "Remove the option or use world=helpdesk.")


def _parameters(size: str) -> int:
    return SIZES[size].reward_model_parameters
