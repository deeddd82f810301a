"""What can be said of a user's own files and models before anything starts: a mistake is told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlproject.errors import UserError
from mlproject.models.sizes import is_checkpoint

if TYPE_CHECKING:
    from mlproject.config.schema import Config

LEAST_COMPARISONS, LEAST_PROMPTS = 64, 20
"""Fewer teach a reward model nothing, and leave none to validate it on."""


def check(config: Config, proxy: str = "") -> None:
    """Look at every checkpoint, function, prompt and comparison that a configuration names.

    Args:
        config: of everything.
        proxy: the entry point's own parameter of that name, where it has one.

    Raises:
        UserError: for the first mistake; one line says where it is.
    """
    from mlproject.models.checkpoints import inspect_checkpoint, inspect_reward_model

    if is_checkpoint(proxy) and not proxy.startswith("models:/"):
        inspect_checkpoint(proxy, "proxy")
    for option in ("rm_sizes", "rm_size", "search_rm_sizes", "gold_size", "test_rms"):
        given = getattr(config, option)
        for name in given if isinstance(given, tuple) else (given,):
            if is_checkpoint(name):
                inspect_checkpoint(name, option)
    if config.gold_source.is_function:
        from mlproject.models.scorers import load_function

        load_function(config.gold)
    elif config.gold_source.is_checkpoint:
        inspect_reward_model(config.gold, "gold")
    if config.world_spec.imports_policy:
        _check_files(config)


def _check_files(config: Config) -> None:
    from transformers import AutoTokenizer

    from mlproject.models.checkpoints import inspect_checkpoint
    from mlproject.models.prompt_format import PromptFormat
    from mlproject.pipeline.external.policy import external_policy
    from mlproject.worlds.files.snapshot import take_snapshot, train_preferences
    from mlproject.worlds.files.spec import READ_OPTIONS

    external_policy(config)
    tokenizer = AutoTokenizer.from_pretrained(inspect_checkpoint(config.policy, "policy").source)
    cut = PromptFormat(tokenizer, config.max_response_tokens).cut
    options = config.select(*READ_OPTIONS)
    frozen = take_snapshot(options, config.prompts, config.preferences, cut)
    if config.preferences:
        kept, _ = train_preferences(options, config.preferences, frozen.world, cut)
        prompts = len({each.prompt for each in kept})
        if len(kept) < LEAST_COMPARISONS or prompts < LEAST_PROMPTS:
            raise UserError(
                f"preferences={config.preferences}: {len(kept)} comparisons of {prompts} prompts are left to "
                f"learn from (those of curves and audit are held out); at least "
                f"{LEAST_COMPARISONS} of {LEAST_PROMPTS} are needed"
            )
