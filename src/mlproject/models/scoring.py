"""How a reward model reads sequences, found by trying it on a few tokens.

A decoder reads the padding after a sequence without harm, an encoder only where its attention mask excludes it (not so
FNet, CANINE, or XLNet, whose head reads the last column), and some caches cannot be repeated. Readings are compared
with that of each sequence alone.

Axis letters: B sequences, T tokens of a sequence, R tokens of a response.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from mlproject.errors import UserError, first_line
from mlproject.models.kept_scores import kept
from mlproject.models.last_layer import hidden_at, trunk_of
from mlproject.models.libraries import transformers
from mlproject.models.sequences import Sequences, batches_by_length, inference_batch, sequences_from_rows

if TYPE_CHECKING:
    from transformers import Cache, PretrainedConfig, PreTrainedModel

_TOLERANCE, _TOLERANCE_OF_HALF = 1e-3, 0.1
"""Largest difference of two readings in standard deviations of the scores, in float32 and in bfloat16 or float16."""

_LENGTHS, _START = (12, 7, 12, 9), 5
"""Sequences that are tried, in tokens, and where their responses start."""


@dataclass(frozen=True)
class Scoring:
    """How a reward model reads sequences.

    Attributes:
        pads: whether sequences of different lengths can be read together; otherwise each length is read apart.
        shares_prompts: whether a prompt can be read once, into a cache, for many responses.
        skips_unread: whether the last layer can be left out at all tokens but the one that the head reads.
    """

    pads: bool
    shares_prompts: bool
    skips_unread: bool = False


def is_causal(model: PreTrainedModel) -> bool:
    """Whether a model is a decoder; an encoder needs an attention mask."""
    return "past_key_values" in inspect.signature(model.forward).parameters


def inputs(batch: Sequences, config: PretrainedConfig, is_causal: bool) -> dict[str, Any]:
    """Arguments with which a reward model reads sequences, on their device."""
    if is_causal:
        return {"input_ids": batch.ids_BT, "use_cache": False}
    position_T = torch.arange(batch.ids_BT.shape[1], device=batch.ids_BT.device)
    is_token_BT = position_T < batch.ends_B[:, None]
    model_inputs = {"input_ids": batch.ids_BT, "attention_mask": is_token_BT.long()}
    if getattr(config, "type_vocab_size", 0) > 1:  # as tokenizers mark the second text of a pair
        model_inputs["token_type_ids"] = (is_token_BT & (position_T >= batch.starts_B[:, None])).long()
    return model_inputs


def logits(
    model: PreTrainedModel, batch: Sequences, how: Scoring, cache: Cache | None = None, start: int = 0
) -> Tensor:
    """Raw scores of a batch that the model reads at once. Shape: (B,), float32, with their gradient.

    Args:
        model: a reward model.
        batch: sequences on its device.
        how: whether the last layer may be left out where the head does not read.
        cache: what a decoder has read of each sequence before `start`; extended.
        start: first column that it has not read.
    """
    trunk = trunk_of(model) if how.skips_unread else None
    if trunk is None:
        decoder = is_causal(model)
        more = {} if cache is None else {"past_key_values": cache, "use_cache": True}
        rest = replace(batch, ids_BT=batch.ids_BT[:, start:]) if start else batch
        return model(**{**inputs(rest, model.config, decoder), **more}).logits.squeeze(-1).float()
    ids_BT = batch.ids_BT[:, start:]
    is_word_BT = ids_BT != model.config.pad_token_id
    last_B = (torch.arange(ids_BT.shape[1], device=ids_BT.device) * is_word_BT).argmax(1)
    return model.score(hidden_at(trunk, ids_BT, last_B[:, None], cache)).flatten().float()


def score(model: PreTrainedModel, sequences: Sequences, how: Scoring) -> Tensor:
    """Raw scores of sequences, each read from its first token, in batches. Shape: (B,), float32, on the CPU.

    Args:
        model: in eval mode.
        sequences: padded with `padding_token`.
        how: whether different lengths are read together, and what is left out.
    """
    scores = torch.empty(len(sequences), dtype=torch.float32)
    lengths = [None] if how.pads else sequences.ends_B.unique().tolist()
    for length in lengths:
        rows = torch.arange(len(sequences)) if length is None else (sequences.ends_B == length).nonzero().squeeze(1)
        for index, batch in batches_by_length(sequences.select(rows), inference_batch(model)):
            scores[rows[index]] = kept(partial(logits, model, batch.to(model.device), how))
    return scores


def score_one_prompt(model: PreTrainedModel, sequences: Sequences, how: Scoring) -> Tensor:
    """Raw scores of many responses to one prompt, which is read once, into the cache. Shape: (B,), on the CPU."""
    scores = torch.empty(len(sequences), dtype=torch.float32)
    start = int(sequences.starts_B[0])
    prompt_1T = sequences.ids_BT[:1, :start].to(model.device)
    prompt_cache: Cache | None = None

    def read(responses: Sequences) -> Tensor:
        nonlocal prompt_cache
        if prompt_cache is None:
            prompt_cache = transformers.DynamicCache(config=model.config)
            model(input_ids=prompt_1T, past_key_values=prompt_cache, use_cache=True)
        cache = copy.deepcopy(prompt_cache)
        cache.reorder_cache(torch.zeros(len(responses), dtype=torch.long, device=model.device))
        return logits(model, responses.to(model.device), how, cache, start)

    for index, batch in batches_by_length(sequences, inference_batch(model)):
        scores[index] = kept(partial(read, batch))
    return scores


@contextmanager
def padding_token(model: PreTrainedModel, sequences: Sequences) -> Iterator[int]:
    """The padding token with which a decoder's head reads the same token in a batch as in each row alone.

    The head reads the last token that is not the configuration's padding. Without padding in the configuration it reads
    the last token; inside this context a token that ends no sequence then serves as padding.
    """
    config = model.config.get_text_config()
    original = getattr(config, "pad_token_id", None)
    if original is None:
        last = set(sequences.ids_BT.gather(1, sequences.ends_B[:, None] - 1).flatten().tolist())
        config.pad_token_id = next(token for token in range(len(last) + 1) if token not in last)
    try:
        yield config.pad_token_id
    finally:
        config.pad_token_id = original


def padded(sequences: Sequences, pad_id: int) -> Sequences:
    """The same sequences with another padding token."""
    is_token_BT = torch.arange(sequences.ids_BT.shape[1], device=sequences.ids_BT.device) < sequences.ends_B[:, None]
    return replace(sequences, ids_BT=sequences.ids_BT.masked_fill(~is_token_BT, pad_id))


_known: WeakKeyDictionary[nn.Module, Scoring] = WeakKeyDictionary()


@torch.no_grad()
def scoring_of(model: PreTrainedModel, place: str = "reward model") -> Scoring:
    """How a reward model must be read so that it scores as it does each sequence alone; tried once for each model.

    Args:
        model: in eval mode.
        place: what the user calls it, for messages.

    Raises:
        UserError: if it cannot be read at all, or gives no single score.
    """
    if model not in _known:
        sequences = _tried(model)
        apart = Scoring(pads=False, shares_prompts=False)
        with padding_token(model, sequences) as pad_id:
            sequences = padded(sequences, pad_id)
            try:
                alone_B = torch.cat([score(model, sequences.select(torch.tensor([i])), apart) for i in range(4)])
            except Exception as error:  # whatever a model raises
                raise UserError(
                    f"{place}: must give a sequence of tokens one score, but {type(model).__name__} fails "
                    f"({type(error).__name__}: {first_line(error)[:200]}). Use a sequence classifier with one label."
                ) from None
            if alone_B.isnan().any():  # nothing can be compared
                return Scoring(pads=True, shares_prompts=False)

            def agrees(read: Callable[..., Tensor], how: Scoring) -> bool:
                return _agrees(model, lambda: read(model, sequences, how), alone_B)

            pads = agrees(score, Scoring(True, False))
            shares = pads and is_causal(model) and agrees(score_one_prompt, Scoring(True, True))
            quick = Scoring(pads, shares, skips_unread=True)
            skips = trunk_of(model) is not None and agrees(score, quick)
            skips = skips and (not shares or agrees(score_one_prompt, quick))
        _known[model] = Scoring(pads, shares, skips)
    return _known[model]


def _tried(model: PreTrainedModel) -> Sequences:
    """Arbitrary sequences of ordinary tokens, with the same prompt."""
    config = model.config.get_text_config()
    special = [getattr(config, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")]
    words = [token for token in range(min(getattr(config, "vocab_size", 64), 64)) if token not in special] or [0]
    rows = [
        [words[(5 * i * i + 3 * i + (7 * row if i >= _START else 0)) % len(words)] for i in range(length)]
        for row, length in enumerate(_LENGTHS)
    ]
    return sequences_from_rows(rows, [_START] * len(rows), 0)


def _agrees(model: PreTrainedModel, read: Any, alone_B: Tensor) -> bool:
    """Whether another reading gives the scores of each sequence alone, up to rounding."""
    half = next(model.parameters()).dtype not in (torch.float32, torch.float64)
    relative, rounding = (_TOLERANCE_OF_HALF, 1e-2) if half else (_TOLERANCE, 1e-6)
    tolerance = relative * alone_B.std() + rounding * alone_B.abs().max()
    try:
        return bool((read() - alone_B).abs().max() <= tolerance)
    except Exception:  # a cache of another kind: whatever a model raises
        return False
