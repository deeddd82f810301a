"""A reward model with its units, which turn raw logits into gold standard deviations above the initial policy.

Axis letters: B sequences, T tokens of a sequence, R tokens of a response.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlproject.models.checkpoints import prompt_format_of
from mlproject.models.conservative_head import plain_head, save_head, with_saved_head
from mlproject.models.conversation_format import ConversationFormat
from mlproject.models.finite import check_scores
from mlproject.models.model_loading import load_classifier
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.scoring import padded, padding_token, score, score_one_prompt, scoring_of
from mlproject.models.sequences import (
    Sequences,
    known_tokens,
    rows_by_prompt,
    unique,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

START = "start_sha256"
"""Entry of config.json: digest of the weights that a training started from, where several share them."""

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
        >>> raw_B.shape, abs(round(float(calibrated.scores(sequences).mean()), 6))
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
        how, separate = scoring_of(self.model, self._name), []
        with padding_token(self.model, distinct) as pad_id:
            same = padded(distinct, pad_id)
            has_words_B = (same.response_mask_BR & (same.response_ids_BR != pad_id)).any(1)
            for rows in rows_by_prompt(same):
                shared = rows[has_words_B[rows]] if how.shares_prompts else rows[:0]
                if len(shared) >= _SHARED_PROMPT:
                    scores[shared] = score_one_prompt(self.model, same.select(shared), how)
                    rows = rows[~has_words_B[rows]]  # their score is at the last token of the prompt
                separate.append(rows)
            rows = torch.cat(separate)
            if len(rows):
                scores[rows] = score(self.model, same.select(rows), how)
        return scores[inverse]

    def rate(self, responses: Responses) -> NDArray[np.float64]:
        """Scores of responses of a policy with the same token ids, gold standard deviations. Shape: (B,).

        Where the policy has a chat template, the model reads the whole conversations that it lays out, and otherwise
        the ids as they were written. A policy may have embeddings of no token, which a reward model need not have:
        their ids are left out.

        Raises:
            NotFiniteError: for a score of nan or infinity.
        """
        return self.scores(self.read(responses), responses)

    def read(self, responses: Responses) -> Sequences:
        """What the model reads of responses, see `rate`. Length B."""
        policy_format = responses.prompt_format
        if policy_format.layout == "chat":
            return prompt_format_of(policy_format.tokenizer, self.model).encode(responses.prompts, responses.texts)
        vocabulary = self.model.get_input_embeddings().weight.shape[0]
        return known_tokens(responses.sequences, vocabulary, policy_format.pad_id)

    def scores(self, sequences: Sequences, responses: Responses | None = None) -> NDArray[np.float64]:
        """Scores in gold standard deviations above the initial policy. Shape: (B,).

        Args:
            sequences: what the model reads.
            responses: the same as a policy wrote it, for messages.

        Raises:
            NotFiniteError: for a score of nan or infinity.
        """
        raw_B = self.raw_scores(sequences).double().numpy()
        check_scores(raw_B, self._name, responses)
        return self.scale * (raw_B - self.centre)

    @property
    def _name(self) -> str:
        return f"reward model {self.model.name_or_path}".rstrip()

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
        if not scoring_of(self.model).pads:
            self.model.config.reads_lengths_apart = True
        if isinstance(prompt_format, ConversationFormat) or hasattr(self.model.config, "reads_texts"):
            self.model.config.reads_texts = isinstance(prompt_format, ConversationFormat)
        with plain_head(self.model):
            self.model.save_pretrained(folder)
        save_head(self.model, folder)
        prompt_format.tokenizer.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> RewardModel:
        """Load a folder that `save` wrote, or any classifier with one label, then in raw units; in float32.

        Raises:
            UserError: if weights are missing (see `load_classifier`).
        """
        model = with_saved_head(load_classifier(str(folder), str(folder)).to(device), Path(folder))
        return cls(model, getattr(model.config, "reward_centre", 0.0), getattr(model.config, "reward_scale", 1.0))


def content_hash(model: PreTrainedModel) -> str:
    """SHA-256 of the names and values of all weights; equal if and only if two models are equal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
