"""What must hold between options, and what is allowed but unwise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mlproject.config.options import to_text
from mlproject.errors import UserError
from mlproject.models.sizes import SIZES, is_checkpoint
from mlproject.worlds import FILES

if TYPE_CHECKING:
    from mlproject.config.schema import Config

TRAINED, NONE = "trained", "none"
"""Values of the option `gold` that name no scorer: trained on the embedded human; none, so that a test RM plays it."""

_FUNCTION = re.compile(r"[\w.]+:\w+")


def check_rules(config: Config) -> None:
    """Check the options against each other.

    Raises:
        UserError: for the first that does not go with the others; one line says what would.
    """
    for name, wanted in _broken_rules(config):
        raise UserError(f"{name}={to_text(getattr(config, name))}: allowed is {wanted}; change one of them")


def warnings_for(config: Config) -> list[str]:
    """What is allowed but unwise, a line each."""
    unwise = []
    if config.gold == NONE:
        unwise.append(
            f"gold={NONE}: a test RM ({config.gold_size}) plays gold; one no larger than a proxy is fooled where that "
            "is, so make it the largest there is (docs/early_warning.md)"
        )
    if 4 * config.bon_n_max <= config.pool_samples:
        return unwise
    from mlproject.estimators import effective_sample_size

    left = effective_sample_size(config.pool_samples, config.bon_n_max)
    return [
        *unwise,
        f"bon_n_max={config.bon_n_max} with pool_samples={config.pool_samples}: only {left:.1f} effective samples per "
        f"prompt stand behind the last point; pool_samples={4 * config.bon_n_max} would give about 7",
    ]


GOLD = "mlproject.gold"
"""Tag of gold RMs and policy runs: what plays gold, `trained`, `checkpoint`, `function` or `test-rm`."""

TEST_RM = "test-rm"


def gold_kind(config: Config) -> str:
    """Value of the tag `GOLD`."""
    if config.gold in (TRAINED, NONE):
        return TRAINED if config.gold == TRAINED else TEST_RM
    return "function" if is_function(config.gold) else "checkpoint"


def is_function(name: str) -> bool:
    """Whether a name has the form PACKAGE.MODULE:FUNCTION."""
    return _FUNCTION.fullmatch(name) is not None


def _broken_rules(config: Config) -> Iterator[tuple[str, str]]:
    """(option, what would be allowed), for every rule that is broken."""
    sizes = [name for name in (*config.rm_sizes, *config.search_rm_sizes, config.rm_size) if name in SIZES]
    if is_checkpoint(config.gold_size) and (config.gold != NONE or config.world != FILES):
        yield "gold_size", f"a size of the ladder ({', '.join(SIZES)}) unless world={FILES} and gold={NONE}"
    elif config.gold == TRAINED and sizes:
        largest = max(sizes, key=_parameters)
        if _parameters(config.gold_size) < _parameters(largest):
            yield "gold_size", f"at least the largest proxy, {largest}"
    if config.bon_n_max > config.pool_samples:
        yield "bon_n_max", f"at most pool_samples={config.pool_samples}"
    if config.ppo_minibatches > config.ppo_batch_size:
        yield "ppo_minibatches", f"at most ppo_batch_size={config.ppo_batch_size}"
    if config.ppo_eval_every > config.ppo_updates:
        yield "ppo_eval_every", f"at most ppo_updates={config.ppo_updates}"
    if list(config.search_kl_coefs) != sorted(set(config.search_kl_coefs)):
        yield "search_kl_coefs", "increasing values"
    for name in ("search_n_comparisons", "search_ppo_lrs"):
        if list(getattr(config, name)) != sorted(getattr(config, name)):
            yield name, "increasing values"
    if _is_ladder(config.search_rm_sizes) and list(config.search_rm_sizes) != sorted(
        config.search_rm_sizes, key=_parameters
    ):
        yield "search_rm_sizes", "increasing sizes"
    if not config.experiment.strip() or "/" in config.experiment:
        yield "experiment", "a name without '/'"
    if not config.registered_model or set(config.registered_model) & set("/:."):
        yield "registered_model", "a name without '/', ':' or '.'"
    if not config.study.strip():
        yield "study", "a name"
    yield from _about_gold(config)
    yield from _about_files(config)


def _about_gold(config: Config) -> Iterator[tuple[str, str]]:
    if config.gold not in (TRAINED, NONE) and not is_checkpoint(config.gold) and not is_function(config.gold):
        yield "gold", "trained, none, a checkpoint (./FOLDER or OWNER/NAME), or PACKAGE.MODULE:FUNCTION"
    watching = {config.rm_size if size == "same" else size for size in config.test_rms}
    if config.gold == NONE and config.gold_size in watching:
        yield "test_rms", f"others than gold_size={config.gold_size} where gold={NONE}: that one plays gold already"
    if config.gold == NONE and config.rounds > 1:
        yield "rounds", "1 where gold=none: nobody could label the comparisons of a later round"


def _about_files(config: Config) -> Iterator[tuple[str, str]]:
    if config.world != FILES:
        for name in ("prompts", "preferences", "policy"):
            if getattr(config, name):
                yield name, f"nothing, but with world={FILES}"
        return
    if not config.policy:
        yield "policy", f"a checkpoint (./FOLDER or OWNER/NAME) where world={FILES}"
    if not config.prompts and not config.preferences:
        yield "prompts", f"a file where world={FILES} and preferences are none"
    if config.gold == TRAINED:
        yield (
            "gold",
            f"a checkpoint, PACKAGE.MODULE:FUNCTION or none where world={FILES}: nobody judges there",
        )
    if config.gold == NONE and not config.preferences:
        yield "preferences", f"a file where world={FILES} and gold=none: reward models learn from it"
    if len(config.preference_fields) != 3:
        yield "preference_fields", "three names: prompt, chosen, rejected"
    if config.rm_policy_size != "same":
        yield "rm_policy_size", f"same where world={FILES}"


def _is_ladder(names: Sequence[str]) -> bool:
    return all(name in SIZES for name in names)


def _parameters(size: str) -> int:
    return SIZES[size].reward_model_parameters
