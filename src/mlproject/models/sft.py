"""The initial policy: supervised on the world's corpus."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import PreTrainedModel

from mlproject.models.log_probs import at_responses, token_log_probs
from mlproject.models.progress import Progress, no_progress
from mlproject.models.sequences import Sequences
from mlproject.models.training import Schedule, train


def train_sft(
    policy: PreTrainedModel,
    corpus: Sequences,
    schedule: Schedule,
    *,
    accelerator: Accelerator,
    generator: torch.Generator,
    progress: Progress = no_progress,
) -> float:
    """Supervised training on responses (prompts are read, not learned), in place.

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
    )
