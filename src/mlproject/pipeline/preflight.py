"""Checks a user's files and models before a study starts, so that mistakes are reported at once.

Free of torch until there is a checkpoint or file to check: the command line imports this module to parse.
"""

from __future__ import annotations

from importlib import import_module

from mlproject.config.schema import Config
from mlproject.models.functions import load_function
from mlproject.models.inspection import inspect_checkpoint, inspect_reward_model
from mlproject.models.sizes import is_checkpoint


def check(config: Config, proxy: str = "") -> list[str]:
    """Check every checkpoint, function, prompt and comparison that a configuration names.

    Returns:
        how the user's files were read, one line each.

    Args:
        config: the configuration.
        proxy: value of the entry point's parameter `proxy`, if it has one.

    Raises:
        UserError: for the first mistake.
    """
    if is_checkpoint(proxy) and not proxy.startswith("models:/"):
        inspect_checkpoint(proxy, "proxy")
    for option in ("rm_sizes", "rm_size", "search_rm_sizes", "gold_size", "test_rms"):
        value = getattr(config, option)
        for name in value if isinstance(value, tuple) else (value,):
            if is_checkpoint(name):
                inspect_checkpoint(name, option)
    if config.gold_source.is_function:
        load_function(config.gold)
    elif config.gold_source.is_checkpoint:
        inspect_reward_model(config.gold, "gold")
    if config.world_spec.imports_policy:
        return import_module("mlproject.pipeline.external.files").check_files(config, proxy)
    return []
