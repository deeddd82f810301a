"""REINFORCE with a baseline against a proxy: the rewards from a token on, less the mean reward of the other rollouts.

Williams 1992, in the form of section 6 with a baseline; where several gradient steps use the same rollouts, the ratio
of every token is clipped as in PPO. One response to a prompt is enough, and there is no value head.

Axis letters: B rollouts, R tokens of a response.
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
from mlproject.optimization.on_policy.reinforce_config import BATCH, REINFORCEConfig
from mlproject.optimization.on_policy.rloo import leave_one_out
from mlproject.optimization.on_policy.shards import Shard
from mlproject.optimization.task import OptimizationTask

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class REINFORCE:
    """The objective of REINFORCE."""

    config: REINFORCEConfig
    name = "reinforce"
    group_size = 1
    averages_responses = True

    def new_actor(self, policy: PreTrainedModel) -> Actor:
        return Actor(policy)

    def rollouts(self, shard: Shard, rewards_BR: Tensor) -> Rollouts:
        """The rewards from each token on less the baseline, in gold standard deviations."""
        rewards_B = rewards_BR.sum(1)
        advantages_BR = rewards_BR.flip(1).cumsum(1).flip(1)
        if self.config.reinforce_baseline == BATCH:
            baseline_B = rewards_B - leave_one_out(rewards_B, len(rewards_B))
            advantages_BR = advantages_BR - baseline_B[:, None]
        return Rollouts(shard.sequences, shard.log_probs_BR, advantages_BR)

    def loss(self, reading: Reading, rollouts: Rollouts) -> tuple[Tensor, dict[str, Tensor]]:
        """Clipped surrogate of every token's ratio, summed over a response."""
        clip = self.config.ppo_clip
        gain_BR, is_clipped_BR = surrogate(reading.log_ratio_BR.exp(), rollouts.advantages_BR, clip, clip)
        return -self.mean(gain_BR, reading.mask_BR), diagnostics(reading, is_clipped_BR)

    def mean(self, values_BR: Tensor, mask_BR: Tensor) -> Tensor:
        return mean_of_sums(values_BR, mask_BR)


def optimize(task: OptimizationTask[REINFORCEConfig]) -> Iterator[CurvePoint]:
    """REINFORCE's curve points; see `train`."""
    return train(task, REINFORCE(task.config))
