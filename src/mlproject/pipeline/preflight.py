"""Checks a user's files and models before a study starts, so that mistakes are reported at once.

Free of torch until there is a checkpoint or file to check: the command line imports this module to parse.
"""

from __future__ import annotations

from importlib import import_module

from mlproject.config.schema import Config
from mlproject.models.inspection import inspect_checkpoint, inspect_reward_model
from mlproject.models.sizes import is_checkpoint
from mlproject.rewards.source import is_reward, is_service

RM_OPTIONS = ("rm_sizes", "rm_size", "search_rm_sizes", "gold_size", "test_rms", "ensemble_checkpoints")
"""Options that may name reward models of the user's."""


def check_reward(config: Config, option: str, name: str) -> None:
    """Check that a function can be imported, and that something listens where a service should be.

    Raises:
        UserError: otherwise.
    """
    module = import_module("mlproject.pipeline.reward")
    module.reward_params(config, name)
    if is_service(name):
        import_module("mlproject.rewards.http").check_reachable(name, option)


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
    named = [("proxy", proxy)] if not proxy.startswith("models:/") else []
    for option in RM_OPTIONS:
        value = getattr(config, option)
        named += [(option, name) for name in (value if isinstance(value, tuple) else (value,))]
    for option, name in named:
        if is_checkpoint(name):
            inspect_checkpoint(name, option)
        elif is_reward(name):
            check_reward(config, option, name)
    if config.policy_server:
        import_module("mlproject.rewards.http").check_reachable(config.policy_server, "policy")
    if config.gold_source.is_function:
        check_reward(config, "gold", config.gold)
    elif config.gold_source.is_checkpoint:
        inspect_reward_model(config.gold, "gold")
    if config.world_spec.imports_policy:
        return import_module("mlproject.pipeline.external.files").check_files(config, proxy)
    return []
