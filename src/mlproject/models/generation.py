"""Sampling responses from a policy, with the log-probability of every token.

Works with any causal model of transformers. Where its cache allows (`decoding`), each prompt is read once for all its
responses, prompts of different lengths are read together, and finished rows leave the batch.

Axis letters: P prompts, N samples per prompt, B sequences (P * N), T tokens of a sequence, R tokens of a response,
V vocabulary, H hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlproject.models.decoding import Decoder, Decoding, decoding_of
from mlproject.models.finite import check_sampled, naming_prompts
from mlproject.models.progress import Progress, no_progress
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.sequences import Prompts, Sequences, concatenate, join

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ValueOf = Callable[[Tensor], Tensor]
"""Reads a number from the last hidden states from which a token is predicted; (B, H) -> (B,)."""

_COMPACT_BELOW = 0.8
"""Share of unfinished rows below which finished rows are dropped: copying the cache costs about a fifth of a step."""


@dataclass(frozen=True)
class Samples:
    """Sampled responses; the samples of a prompt are side by side.

    Attributes:
        sequences: prompts with responses. Length B.
        log_probs_BR: log-probability (nats) of each sampled token under the sampling policy, at the sampling
            temperature; 0 where there is no token. Shape: (B, R).
        values_BR: what `value_of` says before each token; 0 where there is no token or nothing was asked for. Shape:
            (B, R).
    """

    sequences: Sequences
    log_probs_BR: Tensor
    values_BR: Tensor


@torch.no_grad()
def sample(
    policy: PreTrainedModel,
    prompts: Prompts,
    *,
    max_new_tokens: int,
    generator: torch.Generator,
    samples_per_prompt: int = 1,
    temperature: float = 1.0,
    value_of: ValueOf | None = None,
) -> Samples:
    """Sample responses from the full distribution of a policy.

    Args:
        policy: causal language model, in eval mode; its configuration names padding and the end of a response, one
            token or a list of them.
        prompts: P tokenized prompts, on the policy's device.
        max_new_tokens: length at which a response is cut; it then has no end-of-sequence.
        generator: source of all randomness, on the policy's device.
        samples_per_prompt: N.
        temperature: divides the logits; 1 samples from the policy itself.
        value_of: asked before each token, for the rollouts of an actor and critic.

    Returns:
        P * N samples, those of one prompt side by side.

    Raises:
        NotFiniteError: where the policy's logits are nan; its `row` is that of the response.
    """
    how = decoding_of(policy)
    lengths = prompts.lengths_P.unique().tolist()
    options = _Options(max_new_tokens, generator, samples_per_prompt, temperature, value_of)
    if how.pads_prompts or len(lengths) == 1:
        return _checked(_sample(policy, prompts, how, options))
    device, pad_id = prompts.ids_PT.device, policy.config.pad_token_id
    offsets_N, rows, parts = torch.arange(samples_per_prompt, device=device), [], []
    for length in lengths:
        index = (prompts.lengths_P == length).nonzero().squeeze(1)
        part = prompts.select(index)
        parts.append(_sample(policy, part, how, options))
        rows.append((index[:, None] * samples_per_prompt + offsets_N).flatten())
    order = torch.cat(rows).argsort()
    width = max(part.log_probs_BR.shape[1] for part in parts)

    def together(parts_BR: list[Tensor]) -> Tensor:
        return torch.cat([nn.functional.pad(x_BR, (0, width - x_BR.shape[1])) for x_BR in parts_BR])[order]

    sequences = concatenate([part.sequences for part in parts], pad_id).select(order)
    log_probs_BR, values_BR = together([p.log_probs_BR for p in parts]), together([p.values_BR for p in parts])
    return _checked(Samples(sequences, log_probs_BR, values_BR))


def _checked(samples: Samples) -> Samples:
    check_sampled(samples.log_probs_BR)
    return samples


@dataclass(frozen=True)
class _Options:
    """The arguments of `sample` that say how."""

    max_new_tokens: int
    generator: torch.Generator
    samples_per_prompt: int
    temperature: float
    value_of: ValueOf | None


def _sample(policy: PreTrainedModel, prompts: Prompts, how: Decoding, options: _Options) -> Samples:
    """`sample` for prompts that the policy reads together."""
    device, pad_id = prompts.ids_PT.device, policy.config.pad_token_id
    samples_per_prompt, max_new_tokens = options.samples_per_prompt, options.max_new_tokens
    ends = torch.tensor(policy.config.eos_token_id, device=device)
    decoder = Decoder(
        policy, how, _padded_on_the_left(prompts, pad_id), prompts.lengths_P, samples_per_prompt, bool(options.value_of)
    )
    rows = len(prompts) * samples_per_prompt
    ids_BR = torch.full((rows, max_new_tokens), pad_id, device=device)
    log_probs_BR, values_BR = (torch.zeros(rows, max_new_tokens, device=device) for _ in range(2))
    row_B = torch.arange(rows, device=device)  # row of ids_BR that each row still in the batch belongs to
    alive_B = torch.ones(rows, dtype=torch.bool, device=device)
    for r in range(max_new_tokens):
        log_p_BV = torch.log_softmax(decoder.logits_BV.float() / options.temperature, dim=-1)
        token_B = _draw(log_p_BV, options.generator)
        written_B = row_B[alive_B]
        ids_BR[written_B, r] = token_B[alive_B]
        log_probs_BR[written_B, r] = log_p_BV.gather(1, token_B[:, None]).squeeze(1)[alive_B]
        if options.value_of is not None:
            values_BR[written_B, r] = options.value_of(decoder.hidden_BH)[alive_B]
        alive_B = alive_B & ~torch.isin(token_B, ends)
        left = int(alive_B.sum())
        if left == 0 or r == max_new_tokens - 1:
            break
        if left < _COMPACT_BELOW * len(alive_B):
            keep = alive_B.nonzero().squeeze(1)
            decoder.keep(keep)
            row_B, token_B, alive_B = row_B[keep], token_B[keep], alive_B[keep]
        decoder.append(token_B)
    ended_BR = torch.isin(ids_BR, ends)
    lengths_B = torch.where(ended_BR.any(1), ended_BR.int().argmax(1) + 1, max_new_tokens)
    repeated = prompts.select(torch.arange(len(prompts), device=device).repeat_interleave(samples_per_prompt))
    width = int(lengths_B.max())
    return Samples(join(repeated, ids_BR, lengths_B, pad_id), log_probs_BR[:, :width], values_BR[:, :width])


def sample_responses(
    policy: PreTrainedModel,
    prompt_format: PromptFormat,
    texts: Sequence[str],
    *,
    generator: torch.Generator,
    samples_per_prompt: int = 1,
    temperature: float = 1.0,
    batch_size: int | None = None,
    progress: Progress = no_progress,
) -> Responses:
    """Sample responses to texts, in batches of prompts.

    Args:
        policy: causal language model, in eval mode.
        prompt_format: prompt format of the policy; its longest response is the longest that is sampled.
        texts: P prompts, at least 1.
        generator: source of all randomness, on the policy's device; batches draw from it one after the other.
        samples_per_prompt: N.
        temperature: divides the logits.
        batch_size: largest number of responses that are sampled at a time, but at least one prompt is; None: all.
        progress: called with the finished share before each batch.

    Returns:
        P * N responses on the CPU with their log-probabilities, those of one prompt side by side.

    Raises:
        NotFiniteError: where the policy's logits are nan; names the prompt.
    """
    step = len(texts) if batch_size is None else max(1, batch_size // samples_per_prompt)
    prompts = [text for text in texts for _ in range(samples_per_prompt)]
    parts: list[Sequences] = []
    log_probs: list[NDArray[np.float64]] = []
    for start in range(0, len(texts), step):
        progress(start / len(texts))
        with naming_prompts(prompts[start * samples_per_prompt :]):
            samples = sample(
                policy,
                prompt_format.encode_prompts(texts[start : start + step]).to(policy.device),
                max_new_tokens=prompt_format.max_response_tokens,
                generator=generator,
                samples_per_prompt=samples_per_prompt,
                temperature=temperature,
            )
        parts.append(samples.sequences.to("cpu"))
        log_probs.append(samples.log_probs_BR.sum(1).double().cpu().numpy())
    sequences = parts[0] if len(parts) == 1 else concatenate(parts, prompt_format.pad_id)
    return Responses(prompts, sequences, prompt_format, np.concatenate(log_probs))


def _draw(log_p_BV: Tensor, generator: torch.Generator) -> Tensor:
    """One token per row by inverting the cumulative distribution, with one random number per row. Shape: (B,)."""
    cumulative_BV = log_p_BV.exp().cumsum(dim=-1)
    level_B1 = torch.rand(len(log_p_BV), 1, generator=generator, device=log_p_BV.device) * cumulative_BV[:, -1:]
    token_B = torch.searchsorted(cumulative_BV, level_B1, right=True).squeeze(1)
    return token_B.clamp(max=log_p_BV.shape[1] - 1)


def _padded_on_the_left(prompts: Prompts, pad_id: int) -> Tensor:
    """Token ids of prompts, so that all rows continue at the same column. Shape: (P, T)."""
    width = prompts.ids_PT.shape[1]
    source_PT = torch.arange(width, device=prompts.ids_PT.device) - (width - prompts.lengths_P)[:, None]
    return prompts.ids_PT.gather(1, source_PT.clamp(min=0)).masked_fill(source_PT < 0, pad_id)
