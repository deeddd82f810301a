"""Training of reward models on comparisons with the Bradley-Terry loss.

P(a is preferred to b) = sigmoid(r(a) - r(b)); the loss is its negative log-likelihood (Bradley and Terry 1952;
Christiano et al. 2017).

Axis letters: B comparisons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlproject.errors import UserError
from mlproject.models.progress import Progress, no_progress
from mlproject.models.scoring import Scoring, logits, scoring_of
from mlproject.models.sequences import Sequences, concatenate
from mlproject.models.training import Schedule, train
from mlproject.preferences.comparisons import EncodedComparisons
from mlproject.preferences.loss_options import RewardLoss
from mlproject.resume.resumption import Resumption

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel


PLAIN = RewardLoss()
"""The Bradley-Terry loss and nothing else."""


class _Rewards(nn.Module):
    """A reward model as it is trained: sequences in, raw scores out."""

    def __init__(self, model: PreTrainedModel, how: Scoring) -> None:
        super().__init__()
        self.model, self.how = model, how

    def forward(self, sequences: Sequences) -> Tensor:
        """Shape: (B,)."""
        return logits(self.model, sequences, self.how)


def bradley_terry_loss(
    reward_a_B: Tensor,
    reward_b_B: Tensor,
    prefers_a_B: Tensor,
    gold_margin_B: Tensor | None = None,
    loss: RewardLoss = PLAIN,
) -> Tensor:
    """Mean of -log sigmoid(reward of the preferred - reward of the other), nats per comparison. Shape: ().

    A margin m is subtracted from the difference (Touvron et al. 2023, equation 2), labels are smoothed by s as in
    conservative DPO (Mitchell 2023), and rewards are centred by c (sum of both)^2 (Eisenstein et al. 2023, equation 4):
    see `RewardLoss`.

    Args:
        reward_a_B: rewards of the first responses. Shape: (B,).
        reward_b_B: rewards of the second responses. Shape: (B,).
        prefers_a_B: whether the first response is preferred. Shape: (B,).
        gold_margin_B: score of the first response less that of the second, by whoever labelled; needed for a margin.
            Its size counts, also where the label is flipped. Shape: (B,).
        loss: what is added to the plain loss.
    """
    margin_B = reward_a_B - reward_b_B
    right_B = torch.where(prefers_a_B, margin_B, -margin_B)
    if loss.rm_margin:
        assert gold_margin_B is not None, "a margin needs the scores of the responses"
        right_B = right_B - loss.rm_margin * gold_margin_B.abs().to(right_B.dtype)
    mean = -F.logsigmoid(right_B).mean()
    if loss.rm_label_smoothing:
        flipped = -F.logsigmoid(-right_B).mean()
        mean = (1 - loss.rm_label_smoothing) * mean + loss.rm_label_smoothing * flipped
    if loss.center_rewards_coefficient:
        mean = mean + loss.center_rewards_coefficient * (reward_a_B + reward_b_B).square().mean()
    return mean


def train_reward_model(
    model: PreTrainedModel,
    comparisons: EncodedComparisons,
    schedule: Schedule,
    *,
    accelerator: Accelerator,
    generator: torch.Generator,
    progress: Progress = no_progress,
    resumption: Resumption | None = None,
    loss: RewardLoss = PLAIN,
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
        loss: what is added to the Bradley-Terry loss.

    Returns:
        mean loss over the last tenth of the steps, nats per comparison.

    Raises:
        UserError: for a model whose scores depend on padding, and for a margin where scores are not known.
    """
    if loss.rm_margin and bool(np.isnan(comparisons.margin_B).any()):
        raise UserError(
            f"rm_margin={loss.rm_margin:g}: must be 0 for comparisons without scores, such as those of a file. "
            "Remove the option."
        )
    how = scoring_of(model.eval())
    if not how.pads:
        raise UserError(
            f"{type(model).__name__}: must read sequences of different lengths together to be trained, but its scores "
            "depend on the padding. Start from another model."
        )
    pad_id, prefers_a_B = model.config.pad_token_id, torch.tensor(comparisons.prefers_a_B)
    gold_margin_B = torch.tensor(comparisons.margin_B)

    def loss_of(rewards: nn.Module, index: Tensor) -> Tensor:
        both = concatenate([comparisons.a.select(index), comparisons.b.select(index)], pad_id)
        reward_a_B, reward_b_B = rewards(both.to(accelerator.device)).chunk(2)
        labels_B, margin_B = (each[index].to(accelerator.device) for each in (prefers_a_B, gold_margin_B))
        return bradley_terry_loss(reward_a_B, reward_b_B, labels_B, margin_B, loss)

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
