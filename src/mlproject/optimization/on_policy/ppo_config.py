"""The options of PPO, and what it declares about itself: `mlproject.optimization.on_policy.ppo` is the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlproject.optimization.method import Method
from mlproject.optimization.on_policy.config import OnPolicyConfig
from mlproject.options.declaration import option


@dataclass(frozen=True, kw_only=True)
class PPOConfig(OnPolicyConfig):
    """Options of proximal policy optimization."""

    HEADING: ClassVar[str] = "PPO"

    ppo_value_lr: float = option("learning rate of the value head", minimum=1e-9, maximum=1)
    ppo_gae_lambda: float = option("lambda of generalized advantage estimation", minimum=0, maximum=1)


METHOD = Method("ppo", "PPO", PPOConfig, module="mlproject.optimization.on_policy.ppo", version=2, entry_point="ppo")
