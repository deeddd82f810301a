"""What tells on-policy methods apart: what they make of the scores of rollouts, and their loss.

Axis letters: B rollouts, R tokens of a response, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from mlproject.models.sequences import Sequences
from mlproject.names import Diagnostic
from mlproject.optimization.on_policy.actor import Actor
from mlproject.optimization.on_policy.gae import masked_mean
from mlproject.optimization.on_policy.shards import Shard

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Rollouts:
    """Responses of the policy and the targets of an update.

    Attributes:
        sequences: B responses.
        log_probs_BR: log-probability of each token when it was sampled, nats. Shape: (B, R).
        advantages_BR: how much better each token is than expected, on a scale of the method's own. Shape: (B, R).
        returns_BR: targets of the value head, where there is one. Shape: (B, R).
        reference_BR: log-probability of each token under the reference, where the loss has a penalty. Shape: (B, R).
        penalty_coef: weight of that penalty.
    """

    sequences: Sequences
    log_probs_BR: Tensor
    advantages_BR: Tensor
    returns_BR: Tensor | None = None
    reference_BR: Tensor | None = None
    penalty_coef: float = 0.0

    def select(self, index: Tensor) -> Rollouts:
        sequences = self.sequences.select(index)
        width = int(sequences.response_lengths_B.max())
        names = ("log_probs_BR", "advantages_BR", "returns_BR", "reference_BR")
        tensors = {name: each[index, :width] for name in names if (each := getattr(self, name)) is not None}
        return replace(self, sequences=sequences, **tensors)


@dataclass(frozen=True)
class Reading:
    """What a policy being trained says of rollouts.

    Attributes:
        log_p_BRV: log-probabilities of the whole vocabulary before each token, nats. Shape: (B, R, V).
        log_probs_BR: those of the tokens. Shape: (B, R).
        log_ratio_BR: less those of the policy that sampled them; 0 where there is no token. Shape: (B, R).
        values_BR: of the value head, where there is one. Shape: (B, R).
        mask_BR: True on response tokens. Shape: (B, R).
    """

    log_p_BRV: Tensor
    log_probs_BR: Tensor
    log_ratio_BR: Tensor
    values_BR: Tensor | None
    mask_BR: Tensor

    @classmethod
    def of(cls, logits_BRV: Tensor, values_BR: Tensor | None, rollouts: Rollouts) -> Reading:
        """Read logits and values that predict each response token."""
        mask_BR = rollouts.sequences.response_mask_BR
        log_p_BRV = logits_BRV.log_softmax(-1)
        log_probs_BR = log_p_BRV.gather(-1, rollouts.sequences.response_ids_BR[..., None]).squeeze(-1)
        log_ratio_BR = (log_probs_BR - rollouts.log_probs_BR).masked_fill(~mask_BR, 0.0)
        return cls(log_p_BRV, log_probs_BR, log_ratio_BR, values_BR, mask_BR)


class Objective(Protocol):
    """An on-policy method: what it makes of rollouts, and its loss.

    Attributes:
        name: of the method.
        group_size: responses to each prompt, side by side among the rollouts.
        averages_responses: whether `mean` is a mean over responses; else it is one over their tokens.
    """

    name: str

    @property
    def group_size(self) -> int: ...

    @property
    def averages_responses(self) -> bool: ...

    def new_actor(self, policy: PreTrainedModel) -> Actor:
        """What samples and is trained."""
        ...

    def rollouts(self, shard: Shard, rewards_BR: Tensor) -> Rollouts:
        """The targets of an update.

        Args:
            shard: all rollouts of an update, those to one prompt side by side.
            rewards_BR: per-token rewards: the score at the last token, less the penalty. Shape: (B, R).
        """
        ...

    def loss(self, reading: Reading, rollouts: Rollouts) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss to minimize, without a penalty, and its diagnostics: detached scalars, each a mean over tokens."""
        ...

    def mean(self, values_BR: Tensor, mask_BR: Tensor) -> Tensor:
        """How the loss, and a penalty in it, averages what it has at every token. Shape: ()."""
        ...


def mean_of_sums(values_BR: Tensor, mask_BR: Tensor) -> Tensor:
    """Mean over responses of the sum over their tokens. Shape: ()."""
    return values_BR.masked_fill(~mask_BR, 0.0).sum(1).mean()


def surrogate(ratio: Tensor, advantages: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """The clipped surrogate, before it is averaged (Schulman et al. 2017, equation 7).

    Args:
        ratio: probability under the policy being trained over that under the one that sampled; of tokens or responses.
        advantages: of the same shape, or one that is broadcast to it.
        low: distance below 1 beyond which the ratio gains nothing.
        high: likewise above 1.

    Returns:
        the gain, and where the ratio is beyond the range.
    """
    clipped = ratio.clamp(1 - low, 1 + high)
    return torch.minimum(ratio * advantages, clipped * advantages), ratio != clipped


@torch.no_grad()
def diagnostics(reading: Reading, is_clipped_BR: Tensor) -> dict[str, Tensor]:
    """Means over tokens: clipped share, KL from the rollout policy and entropy (nats per token)."""
    mask_BR, log_p_BRV = reading.mask_BR, reading.log_p_BRV
    p_log_p_BRV = (log_p_BRV.exp() * log_p_BRV).masked_fill(log_p_BRV == -math.inf, 0.0)  # of an excluded token
    return {
        Diagnostic.CLIP_FRACTION: masked_mean(is_clipped_BR.float(), mask_BR),
        Diagnostic.APPROX_KL: masked_mean(reading.log_ratio_BR.exp() - 1 - reading.log_ratio_BR, mask_BR),
        Diagnostic.ENTROPY: masked_mean(-p_log_p_BRV.sum(-1), mask_BR),
    }
