"""How a causal language model may be read, found by trying it on a few tokens.

Some models have no cache, one of their own, or keep their state in the modules, where it cannot be repeated (RWKV,
MiniMax, RecurrentGemma); some predict otherwise when prompts of different lengths are padded on the left (Mamba, whose
state the padding enters; models that count positions from the first column). Readings are compared with that of each
sequence alone, without padding and cache.

Axis letters: B sequences, T tokens of a sequence, V vocabulary, H hidden width.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from mlproject.errors import UserError, first_line
from mlproject.models.libraries import transformers
from mlproject.models.log_probs import MAX_LOGITS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TOLERANCE, _TOLERANCE_OF_HALF = 3e-3, 0.2
"""Largest difference of two readings, relative to the range of the logits, in float32 and in bfloat16 or float16."""

_LENGTHS, _CONTINUED = (7, 4), 2
"""Prompts that are tried, in tokens, and how many tokens follow each."""

_DROPPED: tuple[tuple[list[int], list[int]], ...] = (
    ([0, 1, 2, 3], [0, 0, 1, 1]),
    ([3, 0, 1], [0, 0, 1, 1]),
    ([], [1, 0, 0]),
)
"""For each token that follows: the rows that are kept before it, and the prompt of each row until then."""


@dataclass(frozen=True)
class Decoding:
    """How a causal language model reads prompts and continues them.

    Attributes:
        cache_argument: argument of `forward` that takes a cache; None: it has none that can be used, and all tokens are
            read again for each further token.
        pads_prompts: whether prompts of different lengths can be read together; otherwise each length is read apart.
    """

    cache_argument: str | None = None
    pads_prompts: bool = False


class Decoder:
    """A batch of prompts, and the tokens that have followed them, in a model.

    Args:
        policy: causal language model, in eval mode.
        how: how to read it.
        ids_BT: prompts, padded on the left.
        lengths_B: number of tokens of each prompt; all equal unless `how.pads_prompts`. Shape: (B,).
        repeats: how many rows each prompt becomes.
        keeps_hidden: whether hidden states are kept.

    Attributes:
        logits_BV: logits of the token that follows each row.
        hidden_BH: last hidden states from which it is predicted; the logits again, where they are not kept.
    """

    logits_BV: Tensor
    hidden_BH: Tensor

    def __init__(
        self,
        policy: PreTrainedModel,
        how: Decoding,
        ids_BT: Tensor,
        lengths_B: Tensor,
        repeats: int,
        keeps_hidden: bool = False,
    ) -> None:
        self._policy, self._how = policy, how
        self._outputs = {"output_hidden_states": True} if keeps_hidden else {}
        columns_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        positions_BT = columns_T - (ids_BT.shape[1] - lengths_B)[:, None]
        self._ids_BT, self._mask_BT = ids_BT, (positions_BT >= 0).long()
        self._cache = None if how.cache_argument is None else transformers.DynamicCache(config=policy.config)
        self._read(ids_BT, positions_BT.clamp(min=0))
        if repeats > 1:
            repeated = torch.arange(len(ids_BT), device=ids_BT.device).repeat_interleave(repeats)
            self.keep(repeated)
            self.logits_BV = self.logits_BV[repeated]
            self.hidden_BH = self.hidden_BH[repeated] if keeps_hidden else self.logits_BV

    def keep(self, index: Tensor) -> None:
        """Continue only these rows; a row may be named repeatedly."""
        self._ids_BT, self._mask_BT = self._ids_BT[index], self._mask_BT[index]
        if self._cache is not None:
            self._cache.reorder_cache(index)

    def append(self, token_B: Tensor) -> None:
        """Add a token to each row."""
        self._mask_BT = torch.cat([self._mask_BT, torch.ones_like(self._mask_BT[:, :1])], dim=1)
        if self._cache is None:
            self._ids_BT = torch.cat([self._ids_BT, token_B[:, None]], dim=1)
            self._read(self._ids_BT, None)
        else:
            self._read(token_B[:, None], self._mask_BT.sum(dim=1, keepdim=True) - 1)

    def _read(self, ids_BT: Tensor, positions_BT: Tensor | None) -> None:
        if self._cache is None:
            parts = [self._run(part, use_cache=False) for part in ids_BT.split(self._rows_that_fit(ids_BT))]
            self.logits_BV = torch.cat([logits_BV for logits_BV, _ in parts])
            self.hidden_BH = torch.cat([hidden_BH for _, hidden_BH in parts])
            return
        names = _arguments(self._policy)
        inputs: dict[str, Any] = {str(self._how.cache_argument): self._cache, "use_cache": True}
        if self._how.pads_prompts:
            inputs["attention_mask"] = self._mask_BT
        if "position_ids" in names:
            inputs["position_ids"] = positions_BT
        self.logits_BV, self.hidden_BH = self._run(ids_BT, **inputs)

    def _run(self, ids_BT: Tensor, **inputs: Any) -> tuple[Tensor, Tensor]:
        """Logits and last hidden states at the last column."""
        output = self._policy(input_ids=ids_BT, **inputs, **self._outputs)
        logits_BV = output.logits[:, -1]
        return logits_BV, output.hidden_states[-1][:, -1] if self._outputs else logits_BV

    def _rows_that_fit(self, ids_BT: Tensor) -> int:
        return max(1, MAX_LOGITS // (ids_BT.shape[1] * self._policy.config.get_text_config().vocab_size))


_known: WeakKeyDictionary[nn.Module, Decoding] = WeakKeyDictionary()


@torch.no_grad()
def decoding_of(policy: PreTrainedModel, place: str = "policy") -> Decoding:
    """How a model must be read so that it predicts as it does for each sequence alone; tried once for each model.

    Args:
        policy: in eval mode; what wraps it (an adapter) is looked through.
        place: what the user calls it, for messages.

    Raises:
        UserError: if it cannot be read at all, or its predictions depend on later tokens.
    """
    base = _base(policy)
    if base not in _known:
        rows = _rows(policy)
        try:
            alone = [policy(input_ids=row[None], use_cache=False).logits[0] for row in rows]
            prefix = policy(input_ids=rows[0][None, : _LENGTHS[0]], use_cache=False).logits[0]
        except Exception as error:  # whatever a model raises
            raise UserError(
                f"{place}: must predict the next token from token ids alone, but {type(base).__name__} fails "
                f"({type(error).__name__}: {first_line(error)[:200]}). Use another causal language model."
            ) from None
        if any(logits.isnan().any() for logits in alone):  # nothing can be compared
            return Decoding(_cache_argument(policy), _cache_argument(policy) is not None)
        if len(alone[0]) != len(rows[0]) or not _agree(prefix, alone[0][: _LENGTHS[0]]):
            raise UserError(
                f"{place}: must be a causal language model, but predictions of {type(base).__name__} depend on later "
                "tokens. Set is_decoder=true in config.json if it was trained as a decoder, or use another model."
            )
        _known[base] = next(how for how in _candidates(policy) if _predicts_alike(policy, how, rows, alone))
    return _known[base]


def _candidates(policy: PreTrainedModel) -> Iterator[Decoding]:
    """Ways to read a model, the fastest first; the last one is right for every causal model."""
    argument = _cache_argument(policy)
    if argument is not None:
        pads = (True, False) if "attention_mask" in _arguments(policy) else (False,)
        yield from (Decoding(argument, pad) for pad in pads)
    yield Decoding()


def _predicts_alike(policy: PreTrainedModel, how: Decoding, rows: list[Tensor], alone: list[Tensor]) -> bool:
    """Whether repeated, continued and partly dropped prompts have the predictions of each sequence alone."""
    if how.cache_argument is None:
        return True
    rows, alone = (rows[:2], alone[:2]) if how.pads_prompts else (rows[::2], alone[::2])
    prompts = [row[:-_CONTINUED] for row in rows]
    pad_id, width = getattr(policy.config, "pad_token_id", None) or 0, len(prompts[0])
    ids_BT = torch.stack([nn.functional.pad(prompt, (width - len(prompt), 0), value=pad_id) for prompt in prompts])
    lengths_B = torch.tensor([len(prompt) for prompt in prompts], device=ids_BT.device)
    try:
        decoder = Decoder(policy, how, ids_BT, lengths_B, 2)
        for token, (kept, origin) in enumerate(_DROPPED):
            if not _agree(decoder.logits_BV, torch.stack([alone[i][len(prompts[i]) - 1 + token] for i in origin])):
                return False
            if token < _CONTINUED:
                decoder.keep(torch.tensor(kept, device=ids_BT.device))
                origin = _DROPPED[token + 1][1]
                decoder.append(torch.stack([rows[i][len(prompts[i]) + token] for i in origin]))
    except Exception:  # a cache of another kind: whatever a model raises
        return False
    return True


def _agree(a_BV: Tensor, b_BV: Tensor) -> bool:
    """Whether logits are equal up to rounding; masked words (-inf) must be the same."""
    tolerance = _TOLERANCE if b_BV.dtype in (torch.float32, torch.float64) else _TOLERANCE_OF_HALF
    a_BV, b_BV = a_BV.float(), b_BV.float()
    finite_BV = b_BV.isfinite()
    if a_BV.shape != b_BV.shape or not torch.equal(finite_BV, a_BV.isfinite()):
        return False
    a, b = a_BV[finite_BV], b_BV[finite_BV]
    return not len(b) or bool((a - b).abs().max() <= tolerance * (b.max() - b.min()).clamp(min=1e-6))


def _rows(policy: PreTrainedModel) -> list[Tensor]:
    """Arbitrary sequences of ordinary tokens: two of different lengths, and a third as long as the first."""
    config = policy.config.get_text_config()
    special = [getattr(config, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")]
    words = [token for token in range(min(config.vocab_size, 64)) if token not in special] or [0]
    lengths = [length + _CONTINUED for length in (*_LENGTHS, _LENGTHS[0])]
    return [
        torch.tensor([words[(5 * i * i + 3 * i + 7 * row) % len(words)] for i in range(length)], device=policy.device)
        for row, length in enumerate(lengths)
    ]


def _cache_argument(policy: PreTrainedModel) -> str | None:
    return next((name for name in ("past_key_values", "cache_params") if name in _arguments(policy)), None)


def _arguments(policy: PreTrainedModel) -> Any:
    return inspect.signature(type(_base(policy)).forward).parameters


def _base(policy: Any) -> Any:
    """The Hugging Face model inside an adapter."""
    return policy.get_base_model() if hasattr(policy, "get_base_model") else policy
