"""What the option `proxy` names."""

from __future__ import annotations

from collections.abc import Mapping

from mlproject.config.schema import Config
from mlproject.cures.cure import PLAIN
from mlproject.errors import UserError
from mlproject.models.sizes import SIZES, is_checkpoint
from mlproject.optimization.on_policy.config import MEMBERS, OnPolicyConfig
from mlproject.rewards.source import is_reward


def is_made_here(proxy: str) -> bool:
    """Whether the option names a size, a checkpoint, a function or a service, rather than a run or a version."""
    return proxy in SIZES or is_reward(proxy) or (is_checkpoint(proxy) and not proxy.startswith("models:/"))


def refuse_reward_of_existing(arguments: Mapping[str, str], config: Config) -> None:
    """Refuse cures for a proxy that exists: it is optimized as it is. And another proxy beside members that are given.

    Args:
        arguments: values of the entry point's own parameters, by name.
        config: whose option `reward` names cures. With `reward_terms=members` it may say what an existing proxy is.

    Raises:
        UserError: if it does, and the proxy is a run or a registered version; or if the reward is made of given
            checkpoints, of which the proxy is not the first.
    """
    proxy = "" if arguments.get("samples") else arguments.get("proxy", "")
    if not proxy:
        return
    if config.reward != PLAIN and not is_made_here(proxy) and config.of(OnPolicyConfig).reward_terms != MEMBERS:
        raise UserError(
            f"reward={config.reward}: must be {PLAIN} with proxy={proxy}, which exists already and is optimized as it "
            "is. Remove the option or use proxy=SIZE."
        )
    if config.given_ensemble and is_made_here(proxy) and proxy != config.given_ensemble:
        raise UserError(
            f"proxy={proxy}: must be {config.given_ensemble}, the first of ensemble_checkpoints, since "
            f"reward={config.reward} is made of them. Give it, or remove ensemble_checkpoints."
        )
