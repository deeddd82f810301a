"""PPO against a proxy: per-token KL shaping, generalized advantages, clipping, a value head on the policy's trunk.

Follows Schulman et al. 2017 and, for language, Ziegler et al. 2019; the hyperparameters that Gao et al. 2022 print in
their Table 1 (clip 0.2, GAE 0.95, batch 256, KL coefficient 0) are the defaults of the presets.

Axis letters: B rollouts, R tokens of a response.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from mlproject.curve import CurvePoint
from mlproject.names import Diagnostic
from mlproject.optimization.on_policy.actor import ActorCritic
from mlproject.optimization.on_policy.gae import generalized_advantages, masked_mean, whiten
from mlproject.optimization.on_policy.loop import train
from mlproject.optimization.on_policy.objective import Reading, Rollouts, diagnostics, surrogate
from mlproject.optimization.on_policy.ppo_config import PPOConfig
from mlproject.optimization.on_policy.shards import Shard
from mlproject.optimization.task import OptimizationTask

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class PPO:
    """The objective of PPO."""

    config: PPOConfig
    name = "ppo"
    group_size = 1
    averages_responses = False

    def new_actor(self, policy: PreTrainedModel) -> ActorCritic:
        return ActorCritic(policy, self.config.ppo_value_lr)

    def rollouts(self, shard: Shard, rewards_BR: Tensor) -> Rollouts:
        """Generalized advantages, normalized to mean 0 and variance 1, and the returns that the value head learns."""
        mask_BR = shard.sequences.response_mask_BR
        advantages_BR = generalized_advantages(rewards_BR, shard.values_BR, mask_BR, self.config.ppo_gae_lambda)
        returns_BR = advantages_BR + shard.values_BR
        return Rollouts(shard.sequences, shard.log_probs_BR, whiten(advantages_BR, mask_BR), returns_BR)

    def loss(self, reading: Reading, rollouts: Rollouts) -> tuple[Tensor, dict[str, Tensor]]:
        """Clipped surrogate plus half the mean squared error of the value head."""
        assert reading.values_BR is not None and rollouts.returns_BR is not None
        clip, mask_BR = self.config.ppo_clip, reading.mask_BR
        gain_BR, is_clipped_BR = surrogate(reading.log_ratio_BR.exp(), rollouts.advantages_BR, clip, clip)
        value_loss = 0.5 * masked_mean((reading.values_BR - rollouts.returns_BR) ** 2, mask_BR)
        measured = {**diagnostics(reading, is_clipped_BR), Diagnostic.VALUE_LOSS: value_loss.detach()}
        return value_loss - masked_mean(gain_BR, mask_BR), measured

    def mean(self, values_BR: Tensor, mask_BR: Tensor) -> Tensor:
        return masked_mean(values_BR, mask_BR)


def optimize(task: OptimizationTask[PPOConfig]) -> Iterator[CurvePoint]:
    """PPO's curve points; see `train`."""
    return train(task, PPO(task.config))
