"""A reward model with its units: raw logits made into gold standard deviations above the initial policy.

Axis letters: B sequences.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    DynamicCache,
    PreTrainedModel,
)

from mlproject.models.reader import Reader, Responses
from mlproject.models.sequences import Sequences, by_length, by_prompt, inference_batch, unique

_SHARED_PROMPT = 64
"""Responses to one prompt from which on it pays to read the prompt once instead of with every response."""


@dataclass(frozen=True)
class RewardModel:
    """A sequence classifier with one label, and the scale on which its scores are read.

    Attributes:
        model: the reward is the only logit.
        centre: mean raw score of the initial policy's responses.
        scale: what turns raw scores into gold standard deviations: score = scale * (raw - centre).
    """

    model: PreTrainedModel
    centre: float = 0.0
    scale: float = 1.0

    @torch.inference_mode()
    def raw_scores(self, sequences: Sequences) -> Tensor:
        """The logits, identical sequences scored once. Shape: (B,), float32, on the CPU."""
        self.model.eval()
        distinct, inverse = unique(sequences)
        scores = torch.empty(len(distinct), dtype=torch.float32)
        alone = []
        for rows in by_prompt(distinct):
            if len(rows) >= _SHARED_PROMPT and self.is_causal:
                scores[rows] = self._score_one_prompt(distinct.select(rows))
            else:
                alone.append(rows)
        if alone:
            rows = torch.cat(alone)
            for index, batch in by_length(distinct.select(rows), inference_batch(self.model.device)):
                scores[rows[index]] = self._logits(batch).squeeze(-1).float().cpu()
        return scores[inverse]

    def rate(self, responses: Responses) -> NDArray[np.float64]:
        """Scores of responses whose ids this model shares with the policy, gold standard deviations. Shape: (B,)."""
        return self.scores(responses.sequences)

    @cached_property
    def is_causal(self) -> bool:
        """Whether the model looks back only (a decoder); an encoder must be told what is padding."""
        return "past_key_values" in inspect.signature(self.model.forward).parameters

    def _logits(self, batch: Sequences) -> Tensor:
        ids_BT = batch.ids_BT.to(self.model.device)
        if self.is_causal:
            return self.model(input_ids=ids_BT, use_cache=False).logits
        place_T = torch.arange(ids_BT.shape[1])
        told = {"attention_mask": (place_T < batch.ends_B[:, None]).to(ids_BT)}
        if getattr(self.model.config, "type_vocab_size", 0) > 1:  # as its tokenizer tells a pair's texts apart
            told["token_type_ids"] = ((place_T >= batch.starts_B[:, None]) & (place_T < batch.ends_B[:, None])).to(
                ids_BT
            )
        return self.model(input_ids=ids_BT, **told).logits

    def _score_one_prompt(self, sequences: Sequences) -> Tensor:
        """Raw scores of many responses to one prompt, which is read once and then looked at through the cache."""
        scores = torch.empty(len(sequences), dtype=torch.float32)
        start = int(sequences.starts_B[0])
        prompt_1T = sequences.ids_BT[:1, :start].to(self.model.device)
        prompt_cache = DynamicCache(config=self.model.config)
        self.model(input_ids=prompt_1T, past_key_values=prompt_cache, use_cache=True)
        for index, batch in by_length(sequences, inference_batch(self.model.device)):
            cache = copy.deepcopy(prompt_cache)
            cache.batch_repeat_interleave(len(index))
            responses_BR = batch.ids_BT[:, start:].to(self.model.device)
            logits = self.model(input_ids=responses_BR, past_key_values=cache, use_cache=True).logits
            scores[index] = logits.squeeze(-1).float().cpu()
        return scores

    def scores(self, sequences: Sequences) -> NDArray[np.float64]:
        """Scores in gold standard deviations above the initial policy. Shape: (B,)."""
        raw_B = self.raw_scores(sequences).double().numpy()
        return self.scale * (raw_B - self.centre)

    def with_units(self, centre: float, scale: float) -> RewardModel:
        """The same model, read on another scale."""
        return replace(self, centre=float(centre), scale=float(scale))

    def save(self, folder: Path, reader: Reader) -> None:
        """Write a Hugging Face folder (safetensors); units and the longest response stand in its config.json."""
        self.model.config.reward_centre, self.model.config.reward_scale = self.centre, self.scale
        self.model.config.max_response_tokens = reader.max_response_tokens
        self.model.save_pretrained(folder)
        reader.tokenizer.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> RewardModel:
        """Read what `save` wrote, or any one-label classifier (then in its own raw units)."""
        model = AutoModelForSequenceClassification.from_pretrained(folder).to(device).eval()
        return cls(model, getattr(model.config, "reward_centre", 0.0), getattr(model.config, "reward_scale", 1.0))


def content_hash(model: PreTrainedModel) -> str:
    """SHA-256 over names and values of all weights: two models agree exactly if and only if these agree."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
