"""Training of reward models on comparisons with the Bradley-Terry loss.

P(a is preferred to b) = sigmoid(r(a) - r(b)); the loss is its negative log-likelihood (Bradley and Terry 1952;
Christiano et al. 2017).

Axis letters: B comparisons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlproject.errors import UserError
from mlproject.models.progress import Progress, no_progress
from mlproject.models.scoring import Scoring, logits, scoring_of
from mlproject.models.sequences import Sequences, concatenate
from mlproject.models.training import Schedule, train
from mlproject.preferences.comparisons import EncodedComparisons
from mlproject.resume.resumption import Resumption

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel


class _Rewards(nn.Module):
    """A reward model as it is trained: sequences in, raw scores out."""

    def __init__(self, model: PreTrainedModel, how: Scoring) -> None:
        super().__init__()
        self.model, self.how = model, how

    def forward(self, sequences: Sequences) -> Tensor:
        """Shape: (B,)."""
        return logits(self.model, sequences, self.how)


def bradley_terry_loss(reward_a_B: Tensor, reward_b_B: Tensor, prefers_a_B: Tensor) -> Tensor:
    """Mean of -log sigmoid(reward of the preferred - reward of the other), nats per comparison. Shape: ().

    Args:
        reward_a_B: rewards of the first responses. Shape: (B,).
        reward_b_B: rewards of the second responses. Shape: (B,).
        prefers_a_B: whether the first response is preferred. Shape: (B,).
    """
    margin_B = reward_a_B - reward_b_B
    return -F.logsigmoid(torch.where(prefers_a_B, margin_B, -margin_B)).mean()


def train_reward_model(
    model: PreTrainedModel,
    comparisons: EncodedComparisons,
    schedule: Schedule,
    *,
    accelerator: Accelerator,
    generator: torch.Generator,
    progress: Progress = no_progress,
    resumption: Resumption | None = None,
) -> float:
    """Fit a sequence classifier with one label to comparisons, in place.

    Args:
        model: reward model, on the accelerator's device.
        comparisons: tokenized comparisons.
        schedule: epochs, batch size, learning rate.
        accelerator: device placement, mixed precision, processes.
        generator: order of the comparisons.
        progress: called with the finished share.
        resumption: where the training is saved between steps.

    Returns:
        mean loss over the last tenth of the steps, nats per comparison.

    Raises:
        UserError: for a model whose scores depend on padding.
    """
    how = scoring_of(model.eval())
    if not how.pads:
        raise UserError(
            f"{type(model).__name__}: must read sequences of different lengths together to be trained, but its scores "
            "depend on the padding. Start from another model."
        )
    pad_id, prefers_a_B = model.config.pad_token_id, torch.tensor(comparisons.prefers_a_B)

    def loss_of(rewards: nn.Module, index: Tensor) -> Tensor:
        both = concatenate([comparisons.a.select(index), comparisons.b.select(index)], pad_id)
        reward_a_B, reward_b_B = rewards(both.to(accelerator.device)).chunk(2)
        return bradley_terry_loss(reward_a_B, reward_b_B, prefers_a_B[index].to(accelerator.device))

    lengths_B = torch.maximum(comparisons.a.ends_B, comparisons.b.ends_B)
    return train(
        _Rewards(model, how),
        loss_of,
        lengths_B,
        schedule,
        accelerator=accelerator,
        generator=generator,
        progress=progress,
        resumption=resumption,
    )
