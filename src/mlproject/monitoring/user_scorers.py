"""Scorers made of what a user has: a reward model, its folder, or a function, in raw units or in those of the points.

Axis letters: B responses, P prompts, N samples per prompt.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import torch

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.models.inspection import inspect_reward_model
from mlproject.models.libraries import transformers
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import FunctionScorer, Scorer, as_it_reads, load_reward_model, rated
from mlproject.models.scorers import NoGold as NoGold
from mlproject.models.scoring import scoring_of
from mlproject.options.paths import is_there
from mlproject.preferences.calibration import calibration_scale
from mlproject.rewards.functions import ScoreFunction
from mlproject.rewards.loading import load_reward, score_function
from mlproject.rewards.options import CallOptions
from mlproject.rewards.source import RewardSource, is_reward

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ScorerLike: TypeAlias = "Scorer | PreTrainedModel | ScoreFunction | str | Path"
"""A scorer, a one-label classifier with the policy's tokenizer, a function of (prompts, responses) returning a number
each, one in TRL's form, the folder of a reward model, PACKAGE.MODULE:FUNCTION, or the address of a service."""


def as_scorer(scorer: ScorerLike, role: str, policy: PreTrainedModel, prompt_format: PromptFormat) -> Scorer:
    """Whatever gives a response a number, as a scorer.

    A reward model reads texts, laid out as its tokenizer does it, unless it was trained on the policy's token ids (see
    `as_it_reads`).

    Args:
        scorer: see `ScorerLike`. A function in TRL's form gets no columns of the data; for those, `trl_reward`.
        role: proxy or gold, for messages.
        policy: the policy whose responses are scored.
        prompt_format: of that policy.

    Raises:
        UserError: for anything else.
    """
    if isinstance(scorer, str) and is_reward(scorer):
        return load_reward(RewardSource(scorer), prompt_format, CallOptions())
    if isinstance(scorer, str | Path):
        if not any(is_there(Path(scorer) / name) for name in ("config.json", "adapter_config.json")):
            raise UserError(f"{role}={scorer}: must be the folder of a model. Give one with a config.json.")
        inspect_reward_model(str(Path(scorer).resolve()), role)
        return load_reward_model(Path(scorer), prompt_format, policy.device)
    if hasattr(scorer, "rate") and hasattr(scorer, "with_units"):
        return cast(Scorer, scorer)
    if isinstance(scorer, transformers.PreTrainedModel):
        ours, its = (model.config.get_text_config().vocab_size for model in (policy, scorer))
        if its not in (ours, len(prompt_format.tokenizer)):  # a policy may have embeddings of no token
            raise UserError(
                f"{role}: must have the policy's vocabulary of {ours}, has {its}. Give the model's folder, or a "
                "TextRewardModel."
            )
        return as_it_reads(RewardModel(_in_float32(scorer, role)), prompt_format.tokenizer, prompt_format)
    if callable(scorer):
        return FunctionScorer(getattr(scorer, "__qualname__", role), score_function(scorer, prompt_format))
    raise UserError(
        f"{role}: must be a reward model, its folder, a function of (prompts, responses) or of TRL's form, or the "
        f"address of a service. Got a {type(scorer).__name__}."
    )


def _in_float32(model: PreTrainedModel, role: str) -> PreTrainedModel:
    """The model itself, or a copy in float32 of one in half precision, in which close scores coincide."""
    scoring_of(model.eval(), role)
    if not {parameter.dtype for parameter in model.parameters()} & {torch.bfloat16, torch.float16}:
        return model
    if hasattr(model, "hf_device_map") or getattr(model, "is_quantized", False):
        raise UserError(
            f"{role}: must be in float32, or on one device and not quantised, to be copied so. Give its folder. "
            "RewardModel(model) scores with it as it is."
        )
    return copy.deepcopy(model).float()


def calibrated(scorer: Scorer, responses: Responses, gold_PN: Array, role: str = "proxy") -> Scorer:
    """A scorer with raw units on gold's scale, fitted to pairs of samples.

    Args:
        scorer: with raw units.
        responses: N samples to each of P prompts, those to one prompt side by side.
        gold_PN: their gold scores, standard deviations. Where one is nan, the scorer is put in standard deviations of
            its own scores. Shape: (P, N).
        role: what the scorer plays, for messages.

    Raises:
        NotFiniteError: for a score of nan or infinity.
    """
    scores_PN = rated(scorer, responses, role).reshape(gold_PN.shape)
    if np.isnan(gold_PN).any():
        return scorer.with_units(float(scores_PN.mean()), 1 / (float(scores_PN.std()) or 1.0))
    even = 2 * (gold_PN.shape[1] // 2)
    margins = [(x_PN[:, 0:even:2] - x_PN[:, 1:even:2]).ravel() for x_PN in (scores_PN, gold_PN)]
    return scorer.with_units(float(scores_PN.mean()), calibration_scale(*margins))
