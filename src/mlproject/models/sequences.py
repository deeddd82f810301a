"""Prompts and responses as token ids.

A sequence is a prompt, a response and padding: in the embedded world `prompt <sep> response <eos> <pad> ...`, which is
encoded here; `prompt_format` has the other layouts. Padding is on the right only, so a causal model needs no attention
mask: no token of a response attends to the padding after it.

Axis letters: B sequences, P prompts, T tokens of a sequence, R tokens of a response, U unique sequences.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True)
class Prompts:
    """Tokenized prompts, each up to the first token of a response.

    Attributes:
        ids_PT: token ids, padded on the right. Shape: (P, T).
        lengths_P: number of tokens of each prompt. Shape: (P,).
    """

    ids_PT: Tensor
    lengths_P: Tensor

    def __len__(self) -> int:
        return len(self.lengths_P)

    def select(self, index: Tensor) -> Prompts:
        """Some of the prompts, by index; shape (P',)."""
        lengths_P = self.lengths_P[index]
        return Prompts(self.ids_PT[index, : int(lengths_P.max())], lengths_P)

    def to(self, device: torch.device | str) -> Prompts:
        return Prompts(self.ids_PT.to(device), self.lengths_P.to(device))


@dataclass(frozen=True)
class Sequences:
    """Prompts with their responses.

    Attributes:
        ids_BT: token ids, padded on the right. Shape: (B, T).
        starts_B: index of the first response token. Shape: (B,).
        ends_B: index one past the last response token, end-of-sequence included. Shape: (B,).
    """

    ids_BT: Tensor
    starts_B: Tensor
    ends_B: Tensor

    def __len__(self) -> int:
        return len(self.ids_BT)

    @property
    def response_lengths_B(self) -> Tensor:
        return self.ends_B - self.starts_B

    @property
    def response_positions_BR(self) -> Tensor:
        """Index in `ids_BT` of every response token; positions past its width repeat the last column. Shape: (B, R)."""
        offsets_R = torch.arange(int(self.response_lengths_B.max()), device=self.ids_BT.device)
        return (self.starts_B[:, None] + offsets_R).clamp(max=self.ids_BT.shape[1] - 1)

    @property
    def response_mask_BR(self) -> Tensor:
        """True on response tokens, end-of-sequence included. Shape: (B, R)."""
        offsets_R = torch.arange(int(self.response_lengths_B.max()), device=self.ids_BT.device)
        return offsets_R < self.response_lengths_B[:, None]

    @property
    def response_ids_BR(self) -> Tensor:
        """Response tokens; values where `response_mask_BR` is False have no meaning. Shape: (B, R)."""
        return self.ids_BT.gather(1, self.response_positions_BR)

    def select(self, index: Tensor | slice) -> Sequences:
        """Some of the sequences, without padding columns that they do not need."""
        ends_B = self.ends_B[index]
        return Sequences(self.ids_BT[index, : int(ends_B.max())], self.starts_B[index], ends_B)

    def to(self, device: torch.device | str) -> Sequences:
        return Sequences(self.ids_BT.to(device), self.starts_B.to(device), self.ends_B.to(device))


def encode_prompts(tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str]) -> Prompts:
    """Tokenize prompts, each with the separator after it."""
    rows = [[*ids, tokenizer.sep_token_id] for ids in _encode(tokenizer, prompts)]
    return prompts_from_rows(rows, tokenizer.pad_token_id)


def encode(
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    responses: Sequence[str],
    max_response_tokens: int,
) -> Sequences:
    """Tokenize prompts with their responses; a response of `max_response_tokens` or more has no end-of-sequence."""
    prompt_rows = _encode(tokenizer, prompts)
    response_rows = [[*ids, tokenizer.eos_token_id][:max_response_tokens] for ids in _encode(tokenizer, responses)]
    rows = [[*p, tokenizer.sep_token_id, *r] for p, r in zip(prompt_rows, response_rows, strict=True)]
    return sequences_from_rows(rows, [len(p) + 1 for p in prompt_rows], tokenizer.pad_token_id)


def prompts_from_rows(rows: Sequence[Sequence[int]], pad_id: int) -> Prompts:
    """Prompts from token ids, one row each."""
    return Prompts(_pad(rows, pad_id), torch.tensor([len(row) for row in rows]))


def sequences_from_rows(rows: Sequence[Sequence[int]], starts: Sequence[int], pad_id: int) -> Sequences:
    """Sequences from token ids, one row each, whose responses start at `starts`."""
    return Sequences(_pad(rows, pad_id), torch.tensor(starts), torch.tensor([len(row) for row in rows]))


def join(prompts: Prompts, response_ids_BR: Tensor, response_lengths_B: Tensor, pad_id: int) -> Sequences:
    """Append responses to their prompts.

    Args:
        prompts: one per response. Length B.
        response_ids_BR: token ids of the responses, padded on the right. Shape: (B, R).
        response_lengths_B: number of tokens of each response. Shape: (B,).
        pad_id: id of the padding token.
    """
    ends_B = prompts.lengths_P + response_lengths_B
    ids_BT = torch.full((len(prompts), int(ends_B.max())), pad_id, device=response_ids_BR.device)
    width = min(prompts.ids_PT.shape[1], ids_BT.shape[1])
    ids_BT[:, :width] = prompts.ids_PT[:, :width]
    mask_BR = torch.arange(response_ids_BR.shape[1], device=response_ids_BR.device) < response_lengths_B[:, None]
    row_B, offset_B = mask_BR.nonzero(as_tuple=True)
    ids_BT[row_B, prompts.lengths_P[row_B] + offset_B] = response_ids_BR[row_B, offset_B]
    return Sequences(ids_BT, prompts.lengths_P, ends_B)


def decode_responses(
    tokenizer: PreTrainedTokenizerFast, sequences: Sequences, end_ids: Container[int] = ()
) -> list[str]:
    """The response texts as they were written, without special tokens.

    Args:
        tokenizer: of the model that wrote them.
        sequences: prompts with responses.
        end_ids: tokens that are left out at the end of a response, although they may not be special.
    """
    rows = sequences.ids_BT.tolist()
    spans = zip(rows, sequences.starts_B.tolist(), sequences.ends_B.tolist(), strict=True)
    responses = [row[start : end - (end > start and row[end - 1] in end_ids)] for row, start, end in spans]
    return tokenizer.batch_decode(responses, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def known_tokens(sequences: Sequences, vocabulary: int, pad_id: int) -> Sequences:
    """The sequences without ids that are not below `vocabulary`, as texts have none of them."""
    if int(sequences.ids_BT.max()) < vocabulary:
        return sequences
    rows, starts = [], []
    for row, start, end in zip(*(x.tolist() for x in vars(sequences).values()), strict=True):
        parts = [[token for token in part if token < vocabulary] for part in (row[:start], row[start:end])]
        rows.append(parts[0] + parts[1])
        starts.append(len(parts[0]))
    return sequences_from_rows(rows, starts, pad_id)


def concatenate(parts: Sequence[Sequences], pad_id: int) -> Sequences:
    """Several batches of sequences as one."""
    width = max(part.ids_BT.shape[1] for part in parts)
    padded = [torch.nn.functional.pad(p.ids_BT, (0, width - p.ids_BT.shape[1]), value=pad_id) for p in parts]
    return Sequences(torch.cat(padded), torch.cat([p.starts_B for p in parts]), torch.cat([p.ends_B for p in parts]))


def unique(sequences: Sequences) -> tuple[Sequences, Tensor]:
    """The unique sequences, and for each sequence its index among them. Length U; shape: (B,)."""
    keys = _row_keys(sequences.ids_BT.cpu().numpy().astype(np.int32))
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return sequences.select(torch.from_numpy(first)), torch.from_numpy(inverse.reshape(-1))


def inference_batch(model: PreTrainedModel) -> int:
    """Sequences per forward pass: as many as fit a core's cache on a CPU, many on a GPU, to fill it."""
    if model.device.type != "cpu":
        return 4096
    width = getattr(model.config.get_text_config(), "hidden_size", None)
    return min(1024, max(128, 8192 // width)) if width else 128


def batches_by_length(sequences: Sequences, batch_size: int) -> Iterator[tuple[Tensor, Sequences]]:
    """Batches of sequences of about equal length, so that there is little padding, each with the index of its rows."""
    for index in torch.argsort(sequences.ends_B, stable=True).split(batch_size):
        yield index, sequences.select(index)


def rows_by_prompt(sequences: Sequences) -> Iterator[Tensor]:
    """Indices of the sequences with the same prompt, for each prompt."""
    longest = int(sequences.starts_B.max())
    prompts = sequences.ids_BT[:, :longest].cpu().numpy().astype(np.int32)
    prompts[np.arange(longest) >= sequences.starts_B.cpu().numpy()[:, None]] = -1
    _, prompt_B, counts = np.unique(_row_keys(prompts), return_inverse=True, return_counts=True)
    rows = torch.from_numpy(np.argsort(prompt_B.reshape(-1), kind="stable"))
    yield from rows.split(counts.tolist())


def _row_keys(rows: NDArray[np.int32]) -> NDArray[np.void]:
    """Each row as one opaque value, which numpy compares fast."""
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    # the Rust tokenizer directly: the Python one takes more than twice as long for short texts
    encodings = tokenizer.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [encoding.ids for encoding in encodings]


def _pad(rows: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    lengths_B = np.array([len(row) for row in rows])
    ids_BT = np.full((len(rows), lengths_B.max()), pad_id)
    is_token_BT = np.arange(ids_BT.shape[1]) < lengths_B[:, None]
    ids_BT[is_token_BT] = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths_B.sum()))
    return torch.from_numpy(ids_BT)
