"""Supervised fine-tuning (SFT) of the initial policy on a corpus.

Axis letters: B responses, R tokens of a response, T tokens of a sequence, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mlproject.models.log_probs import token_log_probs
from mlproject.models.progress import Progress, no_progress
from mlproject.models.response_logits import at_responses
from mlproject.models.sequences import Sequences
from mlproject.models.training import Schedule, train
from mlproject.resume.resumption import Resumption

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel


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
        logits_BRV = at_responses(model(input_ids=batch.ids_BT, use_cache=False).logits, batch).float()
        mask_BR = batch.response_mask_BR
        return -token_log_probs(logits_BRV, batch.response_ids_BR, mask_BR).sum() / mask_BR.sum()

    return train(
        policy,
        loss_of,
        corpus.ends_B,
        schedule,
        accelerator=accelerator,
        generator=generator,
        progress=progress,
        weights_B=corpus.response_lengths_B,
        resumption=resumption,
    )
