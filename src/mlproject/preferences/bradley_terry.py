"""Training of reward models on comparisons, with the Bradley-Terry loss or a loss over rankings.

P(a is preferred to b) = sigmoid(r(a) - r(b)); the loss is its negative log-likelihood (Bradley and Terry 1952;
Christiano et al. 2017).

Axis letters: B comparisons or rankings, P prompts, N responses to a prompt in a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlproject.errors import UserError
from mlproject.models.progress import Progress, no_progress
from mlproject.models.scoring import Scoring, logits, scoring_of
from mlproject.models.sequences import Sequences, concatenate
from mlproject.models.text_head import rewards_and_text
from mlproject.models.training import Schedule, train
from mlproject.preferences.comparisons import EncodedComparisons
from mlproject.preferences.loss_options import PLACKETT_LUCE, RewardLoss
from mlproject.preferences.plackett_luce import plackett_luce_loss
from mlproject.preferences.rankings import EncodedRankings, pairs_of
from mlproject.resume.resumption import Resumption

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel


PLAIN = RewardLoss()
"""The Bradley-Terry loss and nothing else."""


class _Rewards(nn.Module):
    """A reward model as it is trained."""

    def __init__(self, model: PreTrainedModel, how: Scoring, head: nn.Linear | None) -> None:
        super().__init__()
        self.model, self.how, self.head = model, how, head

    def forward(self, sequences: Sequences, preferred: Tensor) -> tuple[Tensor, Tensor | None]:
        """Raw scores, shape (B,), and, with a language model's head, log-probabilities of the preferred responses."""
        if self.head is None:
            return logits(self.model, sequences, self.how), None
        return rewards_and_text(self.model, self.head, sequences, preferred)


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


def ranking_loss(rewards_BN: Tensor, scores_BN: Tensor, loss: RewardLoss) -> Tensor:
    """The loss over rankings that `rm_loss` names. Shape: ().

    `k-wise` is the mean of the Bradley-Terry loss over all pairs of a ranking (Ouyang et al. 2022, equation 1);
    `plackett-luce` see there, with the same centring over pairs.

    Args:
        rewards_BN: of each ranking, the best response first. Shape: (B, N).
        scores_BN: by whoever labelled, for a margin. Shape: (B, N).
        loss: which it is, and what is added to it.
    """
    first, second = torch.triu_indices(rewards_BN.shape[1], rewards_BN.shape[1], 1, device=rewards_BN.device)
    better_B, other_B = rewards_BN[:, first].flatten(), rewards_BN[:, second].flatten()
    if loss.rm_loss == PLACKETT_LUCE:
        centred = (better_B + other_B).square().mean()
        return plackett_luce_loss(rewards_BN) + loss.center_rewards_coefficient * centred
    margin_B = (scores_BN[:, first] - scores_BN[:, second]).flatten()
    return bradley_terry_loss(better_B, other_B, torch.ones_like(better_B, dtype=torch.bool), margin_B, loss)


def with_text_loss(mean: Tensor, log_p_B: Tensor | None, loss: RewardLoss) -> Tensor:
    """A loss of which one share is that of a language model: (1 - a) mean - a mean(log sigmoid(b log p)). Shape: ().

    GRM (Yang et al. 2024, arXiv:2406.10216) in the form without a reference model.

    Args:
        mean: the loss of the rewards.
        log_p_B: log-probability of each preferred response, nats; None where there is no head. Shape: (B,).
        loss: a and b.
    """
    if log_p_B is None:
        return mean
    share = loss.rm_text_weight
    return (1 - share) * mean - share * F.logsigmoid(loss.rm_text_beta * log_p_B).mean()


def train_reward_model(
    model: PreTrainedModel,
    comparisons: EncodedComparisons | EncodedRankings,
    schedule: Schedule,
    *,
    accelerator: Accelerator,
    generator: torch.Generator,
    progress: Progress = no_progress,
    resumption: Resumption | None = None,
    loss: RewardLoss = PLAIN,
    head: nn.Linear | None = None,
) -> float:
    """Fit a sequence classifier with one label to comparisons or rankings, in place.

    Args:
        model: reward model, on the accelerator's device.
        comparisons: tokenized; rankings for a loss over rankings.
        schedule: epochs, batch size, learning rate. A batch of rankings has as many comparisons in them.
        accelerator: device placement, mixed precision, processes.
        generator: order of the comparisons.
        progress: called with the finished share.
        resumption: where the training is saved between steps.
        loss: what is minimised.
        head: a language model's output layer, trained with the model; needed for `rm_text_weight`.

    Returns:
        mean loss over the last tenth of the steps, nats per comparison (of `plackett-luce`, per ranking).

    Raises:
        UserError: for a model whose scores depend on padding, and for a margin where scores are not known.
    """
    if loss.rm_margin and not _has_scores(comparisons):
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
    if isinstance(comparisons, EncodedComparisons):
        loss_of, lengths_B = _of_pairs(comparisons, model.config.pad_token_id, accelerator, loss)
    else:
        loss_of, lengths_B = _of_rankings(comparisons, accelerator, loss)
        of_one = pairs_of(comparisons.scores_PN.shape[1])
        schedule = replace(schedule, batch_size=max(1, schedule.batch_size // of_one))
    return train(
        _Rewards(model, how, head),
        loss_of,
        lengths_B,
        schedule,
        accelerator=accelerator,
        generator=generator,
        progress=progress,
        resumption=resumption,
    )


def _has_scores(comparisons: EncodedComparisons | EncodedRankings) -> bool:
    known = comparisons.margin_B if isinstance(comparisons, EncodedComparisons) else comparisons.scores_PN
    return not np.isnan(known).any()


def _of_pairs(
    comparisons: EncodedComparisons, pad_id: int, accelerator: Accelerator, loss: RewardLoss
) -> tuple[Callable[[nn.Module, Tensor], Tensor], Tensor]:
    """The loss of comparisons by their indices, and the length of each. Shape: (B,)."""
    prefers_a_B, gold_margin_B = torch.tensor(comparisons.prefers_a_B), torch.tensor(comparisons.margin_B)

    def loss_of(rewards: nn.Module, index: Tensor) -> Tensor:
        both = concatenate([comparisons.a.select(index), comparisons.b.select(index)], pad_id)
        labels_B, margin_B = (each[index].to(accelerator.device) for each in (prefers_a_B, gold_margin_B))
        preferred = torch.arange(len(labels_B), device=labels_B.device) + len(labels_B) * ~labels_B
        rewards_B, log_p_B = rewards(both.to(accelerator.device), preferred)
        reward_a_B, reward_b_B = rewards_B.chunk(2)
        return with_text_loss(bradley_terry_loss(reward_a_B, reward_b_B, labels_B, margin_B, loss), log_p_B, loss)

    return loss_of, torch.maximum(comparisons.a.ends_B, comparisons.b.ends_B)


def _of_rankings(
    rankings: EncodedRankings, accelerator: Accelerator, loss: RewardLoss
) -> tuple[Callable[[nn.Module, Tensor], Tensor], Tensor]:
    """The loss of rankings by their indices, and the length of the longest response of each. Shape: (B,)."""
    scores_BN = torch.tensor(rankings.scores_PN)
    count = scores_BN.shape[1]
    place_N = torch.arange(count)

    def loss_of(rewards: nn.Module, index: Tensor) -> Tensor:
        rows_BN = index[:, None].cpu() * count + place_N
        sequences = rankings.sequences.select(rows_BN.flatten()).to(accelerator.device)
        best = torch.arange(0, len(sequences), count, device=accelerator.device)
        rewards_B, log_p_B = rewards(sequences, best)
        mean = ranking_loss(rewards_B.reshape(-1, count), scores_BN[index].to(accelerator.device), loss)
        return with_text_loss(mean, log_p_B, loss)

    return loss_of, rankings.sequences.ends_B.reshape(-1, count).amax(1)
