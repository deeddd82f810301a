"""Log-probabilities of responses under a policy, and the exact KL between two policies.

Axis letters: B sequences, T tokens of a sequence, R tokens of a response, V vocabulary.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mlproject.models.response_logits import read_responses
from mlproject.models.sequences import Sequences, batches_by_length, inference_batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_LOGITS = 2**28
"""Logits per forward pass without gradient: 1 GiB in float32, of which a few copies exist at once."""


def response_logits(policy: PreTrainedModel, sequences: Sequences) -> Tensor:
    """Logits that predict each response token.

    Returns:
        logits in float32. Shape: (B, R, V).
    """
    return read_responses(policy, sequences)[1].float()


def token_log_probs(logits_BRV: Tensor, ids_BR: Tensor, mask_BR: Tensor) -> Tensor:
    """Log-probability (nats) of each response token; 0 past the end. Shape: (B, R)."""
    log_p_BR = logits_BRV.log_softmax(-1).gather(-1, ids_BR[..., None]).squeeze(-1)
    return log_p_BR.masked_fill(~mask_BR, 0.0)


def kl_per_response(logits_BRV: Tensor, initial_logits_BRV: Tensor, mask_BR: Tensor) -> Tensor:
    """Exact KL(policy || initial policy) along sampled responses, nats.

    At every response token the divergence of the two next-token distributions is computed over the full vocabulary;
    the sum over the tokens is the Rao-Blackwellised estimate: unbiased over responses sampled from the policy, never
    negative, and of lower variance than any estimate from the sampled tokens alone.

    Args:
        logits_BRV: logits of the policy that sampled the responses; -inf excludes a token. Shape: (B, R, V).
        initial_logits_BRV: logits of the initial policy on the same responses, likewise. Shape: (B, R, V).
        mask_BR: True on response tokens. Shape: (B, R).

    Returns:
        nats per response; infinite where the initial policy excludes a token that the policy allows. Shape: (B,).
    """
    log_p_BRV, log_q_BRV = logits_BRV.log_softmax(-1), initial_logits_BRV.log_softmax(-1)
    term_BRV = log_p_BRV.exp() * (log_p_BRV - log_q_BRV)
    kl_BR = term_BRV.sum(-1)
    if not kl_BR.isfinite().all():
        term_BRV = term_BRV.masked_fill(log_q_BRV == -math.inf, math.inf)
        term_BRV = term_BRV.masked_fill(log_p_BRV == -math.inf, 0.0)  # p log p/q tends to 0 with p, whatever q is
        kl_BR = term_BRV.sum(-1)
    return kl_BR.masked_fill(~mask_BR, 0.0).sum(-1)


def entropy_per_response(logits_BRV: Tensor, mask_BR: Tensor) -> Tensor:
    """Entropy of the next-token distributions along responses, summed over their tokens.

    Its mean over responses sampled from the policy is the entropy of the policy's responses to a prompt, by the chain
    rule, with every conditional entropy over the full vocabulary.

    Args:
        logits_BRV: logits of the policy. Shape: (B, R, V).
        mask_BR: True on response tokens. Shape: (B, R).

    Returns:
        nats per response. Shape: (B,).
    """
    return torch.special.entr(logits_BRV.softmax(-1)).sum(-1).masked_fill(~mask_BR, 0.0).sum(-1)


class Divergence(NamedTuple):
    """Divergence of a policy from another along responses that it sampled.

    Attributes:
        kl_B: `kl_per_response`, nats. Shape: (B,), float64.
        log_ratio_BR: log pi - log pi_init of each sampled token, nats; 0 past the end. Shape: (B, R), float64.
        entropy_B: `entropy_per_response` of the policy, nats. Shape: (B,), float64.
    """

    kl_B: Tensor
    log_ratio_BR: Tensor
    entropy_B: Tensor


def log_probs_of(policy: PreTrainedModel, sequences: Sequences) -> Tensor:
    """Log-probability (nats) of each response token under a policy, in batches that fit memory. Shape: (B, R)."""
    log_p_BR = torch.zeros(sequences.response_ids_BR.shape, device=sequences.ids_BT.device)
    for rows in torch.arange(len(sequences), device=log_p_BR.device).split(rows_that_fit(policy, sequences)):
        part = sequences.select(rows)
        logits_BRV, mask_BR = response_logits(policy, part), part.response_mask_BR
        log_p_BR[rows, : mask_BR.shape[1]] = token_log_probs(logits_BRV, part.response_ids_BR, mask_BR)
    return log_p_BR


def rows_that_fit(policy: PreTrainedModel, sequences: Sequences) -> int:
    """Largest number of sequences whose logits (all tokens, full vocabulary) are at most `MAX_LOGITS`; at least 1."""
    return max(1, MAX_LOGITS // (sequences.ids_BT.shape[1] * policy.config.get_text_config().vocab_size))


@torch.inference_mode()
def measure_kl(policy: PreTrainedModel, initial_policy: PreTrainedModel, sequences: Sequences) -> Divergence:
    """Exact KL, sampled log-ratios and entropy of many responses, in batches."""
    kl_B, entropy_B = (torch.empty(len(sequences), dtype=torch.float64, device=policy.device) for _ in range(2))
    log_ratio_BR = torch.zeros(sequences.response_ids_BR.shape, dtype=torch.float64, device=policy.device)
    batch_size = min(inference_batch(policy), rows_that_fit(policy, sequences))
    for index, batch in batches_by_length(sequences, batch_size):
        logits_BRV, initial_logits_BRV = (
            response_logits(policy, batch),
            response_logits(initial_policy, batch),
        )
        mask_BR = batch.response_mask_BR
        kl_B[index] = kl_per_response(logits_BRV, initial_logits_BRV, mask_BR).double()
        entropy_B[index] = entropy_per_response(logits_BRV, mask_BR).double()
        log_p_BR, log_q_BR = (
            token_log_probs(logits, batch.response_ids_BR, mask_BR) for logits in (logits_BRV, initial_logits_BRV)
        )
        log_ratio_BR[index, : mask_BR.shape[1]] = (log_p_BR - log_q_BR).double()
    return Divergence(kl_B, log_ratio_BR, entropy_B)
