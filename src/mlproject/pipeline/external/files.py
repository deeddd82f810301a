"""Checks a user's policy, prompts and comparisons, which the steps of this package import later."""

from __future__ import annotations

from mlproject.config.schema import Config
from mlproject.errors import UserError
from mlproject.models.inspection import inspect_policy
from mlproject.models.libraries import transformers
from mlproject.models.prompt_format import PromptFormat
from mlproject.pipeline.external.pool import curve_prompt_params, prompts_of_pool
from mlproject.pipeline.external.templates import readers_of, refused_by
from mlproject.worlds.files.snapshot import take_snapshot, train_preferences
from mlproject.worlds.files.spec import ReadOptions

MIN_COMPARISONS, MIN_PROMPTS = 64, 20
"""A reward model learns nothing from fewer, and too few of them are held out to validate it."""


def check_files(config: Config, proxy: str = "") -> list[str]:
    """Read everything that the options `policy`, `prompts` and `preferences` name; returns how files were read.

    Args:
        config: the configuration.
        proxy: value of the entry point's parameter `proxy`, if it has one.

    Raises:
        UserError: for the first mistake, or too few comparisons.
    """
    source = inspect_policy(config.policy_checkpoint, "policy").source
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    cut = PromptFormat(tokenizer, config.max_response_tokens).cut
    options = ReadOptions.of(vars(config))
    refuses = refused_by(readers_of(config, proxy))
    sampled = prompts_of_pool({**vars(config), **curve_prompt_params(config)}, cut)
    snapshot = take_snapshot(options, config.prompts, config.preferences, cut, refuses, sampled)
    if not config.preferences:
        return [str(snapshot.reading)]
    usable, reading, _ = train_preferences(options, config.preferences, snapshot.world, cut, refuses)
    prompts = len({preference.prompt for preference in usable})
    if len(usable) < MIN_COMPARISONS or prompts < MIN_PROMPTS:
        raise UserError(
            f"preferences={config.preferences}: must have at least {MIN_COMPARISONS} comparisons of {MIN_PROMPTS} "
            f"prompts beside those held out for curves and audit, but has {len(usable)} of {prompts}. "
            "Add comparisons, or lower curve_prompts or audit_prompts."
        )
    return [str(snapshot.reading), str(reading)] if config.prompts else [str(reading)]
