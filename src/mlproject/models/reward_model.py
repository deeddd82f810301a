"""A reward model with its units: raw logits made into gold standard deviations above the initial policy.

Axis letters: B sequences.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

from mlproject.models.sequences import Sequences, by_length, unique


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
    def raw_scores(self, sequences: Sequences, batch_size: int = 1024) -> Tensor:
        """The logits, identical sequences scored once. Shape: (B,), float32, on the CPU."""
        self.model.eval()
        distinct, inverse = unique(sequences)
        scores = torch.empty(len(distinct), dtype=torch.float32)
        for index, batch in by_length(distinct, batch_size):
            logits = self.model(input_ids=batch.ids_BT.to(self.model.device), use_cache=False).logits
            scores[index] = logits.squeeze(-1).float().cpu()
        return scores[inverse]

    def scores(self, sequences: Sequences, batch_size: int = 1024) -> NDArray[np.float64]:
        """Scores in gold standard deviations above the initial policy. Shape: (B,)."""
        raw_B = self.raw_scores(sequences, batch_size).double().numpy()
        return self.scale * (raw_B - self.centre)

    def with_units(self, centre: float, scale: float) -> RewardModel:
        """The same model, read on another scale."""
        return replace(self, centre=float(centre), scale=float(scale))

    def save(self, folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        """Write a Hugging Face folder (safetensors); the units stand in its config.json."""
        self.model.config.reward_centre, self.model.config.reward_scale = self.centre, self.scale
        self.model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

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
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
