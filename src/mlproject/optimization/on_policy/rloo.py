"""RLOO against a proxy: a response is compared with the mean reward of the other responses to its prompt.

Ahmadian et al. 2024 (arXiv:2402.14740), equation 7; a response is one action, so that its ratio is the probability of
the whole response, clipped as in PPO where several gradient steps use the same rollouts. There is no value head.

Axis letters: B rollouts, R tokens of a response, P prompts, N responses to a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from mlproject.curve import CurvePoint
from mlproject.optimization.on_policy.actor import Actor
from mlproject.optimization.on_policy.loop import train
from mlproject.optimization.on_policy.objective import Reading, Rollouts, diagnostics, mean_of_sums, surrogate
from mlproject.optimization.on_policy.rloo_config import RLOOConfig
from mlproject.optimization.on_policy.shards import Shard
from mlproject.optimization.task import OptimizationTask

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class RLOO:
    """The objective of RLOO."""

    config: RLOOConfig
    name = "rloo"
    averages_responses = True

    @property
    def group_size(self) -> int:
        return self.config.rloo_group_size

    def new_actor(self, policy: PreTrainedModel) -> Actor:
        return Actor(policy)

    def rollouts(self, shard: Shard, rewards_BR: Tensor) -> Rollouts:
        """One advantage for all tokens of a response, in gold standard deviations."""
        advantages_B = leave_one_out(rewards_BR.sum(1), self.group_size)
        return Rollouts(shard.sequences, shard.log_probs_BR, advantages_B[:, None].expand_as(rewards_BR))

    def loss(self, reading: Reading, rollouts: Rollouts) -> tuple[Tensor, dict[str, Tensor]]:
        """Clipped surrogate of every response's ratio."""
        ratio_B, clip = reading.log_ratio_BR.sum(1).exp(), self.config.ppo_clip
        gain_B, is_clipped_B = surrogate(ratio_B, rollouts.advantages_BR[:, 0], clip, clip)
        return -gain_B.mean(), diagnostics(reading, is_clipped_B[:, None].expand_as(reading.mask_BR))

    def mean(self, values_BR: Tensor, mask_BR: Tensor) -> Tensor:
        return mean_of_sums(values_BR, mask_BR)


def leave_one_out(rewards_B: Tensor, size: int) -> Tensor:
    """Rewards less the mean of the others of their group.

    Args:
        rewards_B: those of a group side by side. Shape: (B,).
        size: of a group, at least 2.

    Returns:
        Shape: (B,).
    """
    rewards_PN = rewards_B.reshape(-1, size)
    others_PN = (rewards_PN.sum(1, keepdim=True) - rewards_PN) / (size - 1)
    return (rewards_PN - others_PN).flatten()


def optimize(task: OptimizationTask[RLOOConfig]) -> Iterator[CurvePoint]:
    """RLOO's curve points; see `train`."""
    return train(task, RLOO(task.config))
