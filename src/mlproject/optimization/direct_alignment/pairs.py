"""Comparisons as direct alignment reads them: a preferred and another response, with the initial policy's view of both.

Axis letters: B comparisons or responses, R tokens of a response, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mlproject.models.log_probs import response_logits, rows_that_fit, token_log_probs
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.sequences import Sequences, batches_by_length, inference_batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Pairs:
    """Responses of comparisons, and their log-probabilities under the initial policy.

    Attributes:
        chosen, rejected: the preferred response and the other one. Length B each.
        reference_chosen_B, reference_rejected_B: their log-probabilities under the initial policy, nats. Shape: (B,).
    """

    chosen: Sequences
    rejected: Sequences
    reference_chosen_B: Tensor
    reference_rejected_B: Tensor

    def __len__(self) -> int:
        return len(self.chosen)


def pairs_of(table: pd.DataFrame, prompt_format: PromptFormat, initial_policy: PreTrainedModel) -> Pairs:
    """Tokenize labelled comparisons, at least one, and read them with the initial policy."""
    prefers_a, prompts = table.prefers_a.to_numpy(dtype=bool), table.prompt.tolist()
    chosen, rejected = (
        prompt_format.encode(prompts, np.where(first, table.response_a, table.response_b).tolist())
        for first in (prefers_a, ~prefers_a)
    )
    return Pairs(
        chosen, rejected, response_log_probs(initial_policy, chosen), response_log_probs(initial_policy, rejected)
    )


def mismatched(table: pd.DataFrame, prompt_format: PromptFormat) -> Sequences:
    """Each prompt with the first response of the comparison before it. Length B."""
    return prompt_format.encode(table.prompt.tolist(), np.roll(table.response_a.to_numpy(), 1).tolist())


@torch.no_grad()
def response_log_probs(policy: PreTrainedModel, sequences: Sequences) -> Tensor:
    """Log-probability of each response, nats, on the CPU. Shape: (B,), float32."""
    log_p_B = torch.empty(len(sequences))
    batch_size = min(inference_batch(policy), rows_that_fit(policy, sequences))
    for index, batch in batches_by_length(sequences, batch_size):
        log_p_B[index] = summed_log_probs(policy, batch.to(policy.device)).cpu()
    return log_p_B


def summed_log_probs(policy: PreTrainedModel, sequences: Sequences) -> Tensor:
    """Log-probability of each response, nats, with its gradient. Shape: (B,)."""
    logits_BRV = response_logits(policy, sequences)
    return token_log_probs(logits_BRV, sequences.response_ids_BR, sequences.response_mask_BR).sum(1)
