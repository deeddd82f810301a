"""The options of RLOO, and what it declares about itself: `mlproject.optimization.on_policy.rloo` is the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlproject.optimization.method import Method
from mlproject.optimization.on_policy.config import OnPolicyConfig
from mlproject.options.declaration import option


@dataclass(frozen=True, kw_only=True)
class RLOOConfig(OnPolicyConfig):
    """Options of REINFORCE leave-one-out."""

    HEADING: ClassVar[str] = "RLOO"
    GROUP_OPTION: ClassVar[str] = "rloo_group_size"

    rloo_group_size: int = option(
        "responses to each prompt of an update, among ppo_batch_size", default=4, minimum=2, maximum=4096
    )


METHOD = Method("rloo", "RLOO", RLOOConfig, module="mlproject.optimization.on_policy.rloo")
