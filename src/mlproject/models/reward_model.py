"""A reward model with its units, which turn raw logits into gold standard deviations above the initial policy.

Axis letters: B sequences, T tokens of a sequence, R tokens of a response.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from mlproject.models.checkpoints import prompt_format_of
from mlproject.models.conversation_format import ConversationFormat
from mlproject.models.finite import check_scores
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.sequences import (
    Sequences,
    batches_by_length,
    inference_batch,
    known_tokens,
    rows_by_prompt,
    unique,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_SHARED_PROMPT = 64
"""Smallest number of responses to one prompt for which reading the prompt once is faster."""


@dataclass(frozen=True)
class RewardModel:
    """A sequence classifier with one label, and the units of its scores.

    Attributes:
        model: the reward is its only logit.
        centre: mean raw score of the initial policy's responses.
        scale: gold standard deviations per unit of the raw score: score = scale * (raw - centre).

    Examples:
        >>> from transformers import AutoTokenizer
        >>> from mlproject import PromptFormat, RewardModel
        >>> reward_model = RewardModel.load("reward-model")
        >>> prompt_format = PromptFormat(AutoTokenizer.from_pretrained("reward-model"), max_response_tokens=8)
        >>> sequences = prompt_format.encode(["yes no", "yes no"], ["no maybe", "no"])
        >>> raw_B = reward_model.raw_scores(sequences)
        >>> calibrated = reward_model.with_units(centre=raw_B.mean(), scale=2.0)
        >>> raw_B.shape, round(float(calibrated.scores(sequences).mean()), 6)
        (torch.Size([2]), 0.0)
    """

    model: PreTrainedModel
    centre: float = 0.0
    scale: float = 1.0

    @torch.inference_mode()
    def raw_scores(self, sequences: Sequences) -> Tensor:
        """The logits; identical sequences are scored once. Shape: (B,), float32, on the CPU."""
        self.model.eval()
        distinct, inverse = unique(sequences)
        scores = torch.empty(len(distinct), dtype=torch.float32)
        separate = []
        with _padding_token(self.model, distinct) as pad_id:
            padded = _padded(distinct, pad_id)
            has_words_B = (padded.response_mask_BR & (padded.response_ids_BR != pad_id)).any(1)
            for rows in rows_by_prompt(padded):
                shared = rows[has_words_B[rows]] if self.is_causal else rows[:0]
                if len(shared) >= _SHARED_PROMPT:
                    scores[shared] = self._score_one_prompt(padded.select(shared))
                    rows = rows[~has_words_B[rows]]  # their score is at the last token of the prompt
                separate.append(rows)
            rows = torch.cat(separate)
            for index, batch in (
                batches_by_length(padded.select(rows), inference_batch(self.model.device)) if len(rows) else ()
            ):
                model_inputs = inputs(batch.to(self.model.device), self.model.config, self.is_causal)
                scores[rows[index]] = self.model(**model_inputs).logits.squeeze(-1).float().cpu()
        return scores[inverse]

    def rate(self, responses: Responses) -> NDArray[np.float64]:
        """Scores of responses of a policy with the same token ids, gold standard deviations. Shape: (B,).

        Where the policy has a chat template, the model reads the whole conversations that it lays out, and otherwise
        the ids as they were written. A policy may have embeddings of no token, which a reward model need not have:
        their ids are left out.

        Raises:
            NotFiniteError: for a score of nan or infinity.
        """
        policy_format = responses.prompt_format
        if policy_format.layout == "chat":
            whole = prompt_format_of(policy_format.tokenizer, self.model).encode(responses.prompts, responses.texts)
            return self.scores(whole, responses)
        vocabulary = self.model.get_input_embeddings().weight.shape[0]
        return self.scores(known_tokens(responses.sequences, vocabulary, policy_format.pad_id), responses)

    @cached_property
    def is_causal(self) -> bool:
        """Whether the model is a decoder; an encoder needs an attention mask."""
        return is_causal(self.model)

    def _score_one_prompt(self, sequences: Sequences) -> Tensor:
        """Raw scores of many responses to one prompt, which is read once into the cache."""
        scores = torch.empty(len(sequences), dtype=torch.float32)
        start = int(sequences.starts_B[0])
        prompt_1T = sequences.ids_BT[:1, :start].to(self.model.device)
        prompt_cache = transformers.DynamicCache(config=self.model.config)
        self.model(input_ids=prompt_1T, past_key_values=prompt_cache, use_cache=True)
        for index, batch in batches_by_length(sequences, inference_batch(self.model.device)):
            cache = copy.deepcopy(prompt_cache)
            cache.batch_repeat_interleave(len(index))
            responses_BR = batch.ids_BT[:, start:].to(self.model.device)
            logits = self.model(input_ids=responses_BR, past_key_values=cache, use_cache=True).logits
            scores[index] = logits.squeeze(-1).float().cpu()
        return scores

    def scores(self, sequences: Sequences, responses: Responses | None = None) -> NDArray[np.float64]:
        """Scores in gold standard deviations above the initial policy. Shape: (B,).

        Args:
            sequences: what the model reads.
            responses: the same as a policy wrote it, for messages.

        Raises:
            NotFiniteError: for a score of nan or infinity.
        """
        raw_B = self.raw_scores(sequences).double().numpy()
        check_scores(raw_B, f"reward model {self.model.name_or_path}".rstrip(), responses)
        return self.scale * (raw_B - self.centre)

    def with_units(self, centre: float, scale: float) -> RewardModel:
        """The same model with other units."""
        return replace(self, centre=float(centre), scale=float(scale))

    def save(self, folder: Path, prompt_format: PromptFormat) -> None:
        """Write a Hugging Face folder (safetensors) whose config.json has the units and how the model reads responses.

        Args:
            folder: a new one.
            prompt_format: a `ConversationFormat` for a model that reads texts, a policy's format for one that reads its
                token ids.
        """
        self.model.config.reward_centre, self.model.config.reward_scale = self.centre, self.scale
        self.model.config.max_response_tokens = prompt_format.max_response_tokens
        self.model.config.max_tokens = prompt_format.max_tokens
        if isinstance(prompt_format, ConversationFormat) or hasattr(self.model.config, "reads_texts"):
            self.model.config.reads_texts = isinstance(prompt_format, ConversationFormat)
        self.model.save_pretrained(folder)
        prompt_format.tokenizer.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> RewardModel:
        """Load a folder that `save` wrote, or any classifier with one label, then in raw units."""
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).to(device).eval()
        return cls(model, getattr(model.config, "reward_centre", 0.0), getattr(model.config, "reward_scale", 1.0))


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


@contextmanager
def _padding_token(model: PreTrainedModel, sequences: Sequences) -> Iterator[int]:
    """The padding token with which a decoder's head reads the same token in a batch as in each row alone.

    The head reads the last token that is not the configuration's padding. Without padding in the configuration it reads
    the last token; inside this context a token that ends no sequence then serves as padding.
    """
    config = model.config.get_text_config()
    original = config.pad_token_id
    if original is None:
        last = set(sequences.ids_BT.gather(1, sequences.ends_B[:, None] - 1).flatten().tolist())
        config.pad_token_id = next(token for token in range(len(last) + 1) if token not in last)
    try:
        yield config.pad_token_id
    finally:
        config.pad_token_id = original


def _padded(sequences: Sequences, pad_id: int) -> Sequences:
    is_token_BT = torch.arange(sequences.ids_BT.shape[1], device=sequences.ids_BT.device) < sequences.ends_B[:, None]
    return replace(sequences, ids_BT=sequences.ids_BT.masked_fill(~is_token_BT, pad_id))


def content_hash(model: PreTrainedModel) -> str:
    """SHA-256 of the names and values of all weights; equal if and only if two models are equal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
