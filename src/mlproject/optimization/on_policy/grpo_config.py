"""The options of GRPO, and what it declares about itself: `mlproject.optimization.on_policy.grpo` is the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlproject.optimization.method import Method
from mlproject.optimization.on_policy.config import OnPolicyConfig
from mlproject.options.declaration import option

GROUP, BATCH, NONE = "group", "batch", "none"
TOKEN, RESPONSE = "token", "response"


@dataclass(frozen=True, kw_only=True)
class GRPOConfig(OnPolicyConfig):
    """Options of group-relative policy optimization."""

    HEADING: ClassVar[str] = "GRPO"
    GROUP_OPTION: ClassVar[str] = "grpo_group_size"

    grpo_group_size: int = option(
        "responses to each prompt of an update, among ppo_batch_size", default=8, minimum=2, maximum=4096
    )
    grpo_scale: str = option(
        "standard deviation of rewards by which advantages are divided: of the group, of the whole batch, or none",
        default=GROUP,
        choices=(GROUP, BATCH, NONE),
    )
    grpo_clip_high: float = option(
        "clip range above 1, if it is another than ppo_clip (clip-higher); 0: the same",
        default=0.0,
        minimum=0,
        maximum=10,
    )
    grpo_loss: str = option(
        "what the loss averages: all tokens alike, or first the tokens of each response",
        default=TOKEN,
        choices=(TOKEN, RESPONSE),
    )


METHOD = Method("grpo", "GRPO", GRPOConfig, module="mlproject.optimization.on_policy.grpo")
