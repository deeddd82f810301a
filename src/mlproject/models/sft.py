"""Supervised fine-tuning (SFT) of the initial policy on a corpus.

Axis letters: B responses, R tokens of a response, T tokens of a sequence, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mlproject.models.log_probs import response_logits, token_log_probs
from mlproject.models.progress import Progress, no_progress
from mlproject.models.response_logits import reading_of
from mlproject.models.sequences import Sequences
from mlproject.models.training import Schedule, train
from mlproject.resume.resumption import Resumption

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel


class _Predictions(nn.Module):
    """A policy as it is trained: prompts with responses in, logits of the response tokens out."""

    def __init__(self, policy: PreTrainedModel) -> None:
        super().__init__()
        self.policy = policy
        reading_of(policy.eval())

    def forward(self, sequences: Sequences) -> Tensor:
        """Shape: (B, R, V)."""
        return response_logits(self.policy, sequences)


def train_sft(
    policy: PreTrainedModel,
    corpus: Sequences,
    schedule: Schedule,
    *,
    accelerator: Accelerator,
    generator: torch.Generator,
    progress: Progress = no_progress,
    resumption: Resumption | None = None,
) -> float:
    """Train a policy on the responses of a corpus, in place; its prompts have no loss.

    Args:
        policy: causal language model, on the accelerator's device.
        corpus: prompts with responses.
        schedule: epochs, batch size, learning rate.
        accelerator: device placement, mixed precision, processes.
        generator: order of the responses.
        progress: called with the finished share.
        resumption: where the training is saved between steps.

    Returns:
        cross-entropy per response token over the last tenth of the steps, nats.
    """

    def loss_of(model: nn.Module, index: Tensor) -> Tensor:
        batch = corpus.select(index).to(accelerator.device)
        mask_BR = batch.response_mask_BR
        return -token_log_probs(model(batch), batch.response_ids_BR, mask_BR).sum() / mask_BR.sum()

    return train(
        _Predictions(policy),
        loss_of,
        corpus.ends_B,
        schedule,
        accelerator=accelerator,
        generator=generator,
        progress=progress,
        weights_B=corpus.response_lengths_B,
        resumption=resumption,
    )
