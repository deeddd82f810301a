"""Checks the files and models that a configuration names before anything starts, so that mistakes are told at once.

What is slow to import is imported where the configuration needs it: the command line imports this module to parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlproject.errors import UserError
from mlproject.models.checkpoints import inspect_checkpoint, inspect_reward_model
from mlproject.models.sizes import is_checkpoint

if TYPE_CHECKING:
    from mlproject.config.schema import Config

LEAST_COMPARISONS, LEAST_PROMPTS = 64, 20
"""With fewer a reward model learns nothing, and none are left to validate it."""


def check(config: Config, proxy: str = "") -> None:
    """Check every checkpoint, function, prompt and comparison that a configuration names.

    Args:
        config: the whole configuration.
        proxy: parameter `proxy` of the entry point; empty where it has none.

    Raises:
        UserError: for the first mistake, with its place.
    """
    if is_checkpoint(proxy) and not proxy.startswith("models:/"):
        inspect_checkpoint(proxy, "proxy")
    for option in ("rm_sizes", "rm_size", "search_rm_sizes", "gold_size", "test_rms"):
        value = getattr(config, option)
        for name in value if isinstance(value, tuple) else (value,):
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

    from mlproject.models.prompt_format import PromptFormat
    from mlproject.pipeline.external.policy import external_policy
    from mlproject.worlds.files.snapshot import take_snapshot, train_preferences
    from mlproject.worlds.files.spec import READ_OPTIONS

    external_policy(config)
    tokenizer = AutoTokenizer.from_pretrained(inspect_checkpoint(config.policy, "policy").source)
    cut = PromptFormat(tokenizer, config.max_response_tokens).cut
    options = config.select(*READ_OPTIONS)
    snapshot = take_snapshot(options, config.prompts, config.preferences, cut)
    if config.preferences:
        preferences, _ = train_preferences(options, config.preferences, snapshot.world, cut)
        prompts = len({preference.prompt for preference in preferences})
        if len(preferences) < LEAST_COMPARISONS or prompts < LEAST_PROMPTS:
            raise UserError(
                f"preferences={config.preferences}: must hold at least {LEAST_COMPARISONS} comparisons of "
                f"{LEAST_PROMPTS} prompts besides those held out for curves and audit, and holds {len(preferences)} of "
                f"{prompts}. Add comparisons, or lower curve_prompts or audit_prompts."
            )
