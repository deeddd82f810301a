"""GRPO against a proxy: what a response is worth is its reward among those of a group of responses to one prompt.

Shao et al. 2024 (arXiv:2402.03300), equations 3 and 4, with one advantage (r - mean) / (sd + 1e-4) for all tokens of a
response; the scale of the batch or none, the mean over all tokens and the higher upper clip are those of Dr. GRPO (Liu
et al. 2025, arXiv:2503.20783) and DAPO (Yu et al. 2025, arXiv:2503.14476). There is no value head.

Axis letters: B rollouts, R tokens of a response, P prompts, N responses to a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from mlproject.curve import CurvePoint
from mlproject.optimization.on_policy.actor import Actor
from mlproject.optimization.on_policy.gae import masked_mean
from mlproject.optimization.on_policy.grpo_config import BATCH, GROUP, RESPONSE, GRPOConfig
from mlproject.optimization.on_policy.loop import train
from mlproject.optimization.on_policy.objective import Reading, Rollouts, diagnostics, surrogate
from mlproject.optimization.on_policy.shards import Shard
from mlproject.optimization.task import OptimizationTask

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LEAST_SD = 1e-4


@dataclass(frozen=True)
class GRPO:
    """The objective of GRPO."""

    config: GRPOConfig
    name = "grpo"

    @property
    def group_size(self) -> int:
        return self.config.grpo_group_size

    @property
    def averages_responses(self) -> bool:
        return self.config.grpo_loss == RESPONSE

    def new_actor(self, policy: PreTrainedModel) -> Actor:
        return Actor(policy)

    def rollouts(self, shard: Shard, rewards_BR: Tensor) -> Rollouts:
        """One advantage for all tokens of a response, on the scale of its group."""
        advantages_B = group_advantages(rewards_BR.sum(1), self.group_size, self.config.grpo_scale)
        return Rollouts(shard.sequences, shard.log_probs_BR, advantages_B[:, None].expand_as(rewards_BR))

    def loss(self, reading: Reading, rollouts: Rollouts) -> tuple[Tensor, dict[str, Tensor]]:
        """Clipped surrogate of every token's ratio."""
        low, high = self.config.ppo_clip, self.config.grpo_clip_high or self.config.ppo_clip
        gain_BR, is_clipped_BR = surrogate(reading.log_ratio_BR.exp(), rollouts.advantages_BR, low, high)
        return -self.mean(gain_BR, reading.mask_BR), diagnostics(reading, is_clipped_BR)

    def mean(self, values_BR: Tensor, mask_BR: Tensor) -> Tensor:
        if not self.averages_responses:
            return masked_mean(values_BR, mask_BR)
        return (values_BR.masked_fill(~mask_BR, 0.0).sum(1) / mask_BR.sum(1).clamp(min=1)).mean()


def group_advantages(rewards_B: Tensor, size: int, scale: str) -> Tensor:
    """Rewards less the mean of their group, over a standard deviation (of n - 1) plus 1e-4.

    Args:
        rewards_B: those of a group side by side, gold standard deviations. Shape: (B,).
        size: of a group, at least 2.
        scale: whose standard deviation: of the `group`, the `batch`, or `none`.

    Returns:
        Shape: (B,).
    """
    rewards_PN = rewards_B.reshape(-1, size)
    advantages_PN = rewards_PN - rewards_PN.mean(1, keepdim=True)
    if scale == GROUP:
        advantages_PN = advantages_PN / (rewards_PN.std(1, keepdim=True) + _LEAST_SD)
    elif scale == BATCH:
        advantages_PN = advantages_PN / (rewards_B.std() + _LEAST_SD)
    return advantages_PN.flatten()


def optimize(task: OptimizationTask[GRPOConfig]) -> Iterator[CurvePoint]:
    """GRPO's curve points; see `train`."""
    return train(task, GRPO(task.config))
