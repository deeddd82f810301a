"""What the option `proxy` names."""

from __future__ import annotations

from mlproject.models.sizes import SIZES, is_checkpoint
from mlproject.rewards.source import is_reward


def is_made_here(proxy: str) -> bool:
    """Whether the option names a size, a checkpoint, a function or a service, rather than a run or a version."""
    return proxy in SIZES or is_reward(proxy) or (is_checkpoint(proxy) and not proxy.startswith("models:/"))
