"""The average of the weights of several reward models, see `warm`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mlproject.cures.cure import Options
from mlproject.cures.weights import Material, model_of
from mlproject.errors import UserError
from mlproject.models.conservative_head import ConservativeHead, head_of
from mlproject.models.reward_model import START
from mlproject.models.scorers import Scorer, TextRewardModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def apply(scorers: Sequence[Scorer], options: Options, material: Material) -> list[Scorer]:
    """One reward model, in raw units, in place of several."""
    models = [model_of(scorer, "warm") for scorer in scorers]
    averaged = replace(models[0], model=average_weights([each.model for each in models]), centre=0.0, scale=1.0)
    first = scorers[0]
    return [replace(first, reward_model=averaged) if isinstance(first, TextRewardModel) else averaged]


def average_weights(models: Sequence[PreTrainedModel]) -> PreTrainedModel:
    """A model whose weights are the means of those of several.

    Args:
        models: of one architecture; the configuration of each names the weights that its training started from.

    Raises:
        UserError: for different starts, a model that does not name its own, or one whose head is no longer the trained
            one.
    """
    if any(isinstance(head_of(model)[1], ConservativeHead) for model in models):
        raise UserError(
            "reward=warm: must average reward models as they were trained, but one has its sigma taken off. Use "
            "warm+laplace."
        )
    starts = [getattr(model.config, START, None) for model in models]
    if None in starts or len(set(starts)) > 1:
        found = "one does not name its start" if None in starts else f"these have {len(set(starts))}"
        raise UserError(
            f"reward=warm: must average reward models from one shared start, since the weights of others do not "
            f"average, but {found}. Train the members here, or use reward=mean."
        )
    states = [model.state_dict() for model in models]
    averaged = copy.deepcopy(models[0])
    averaged.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(0) if tensor.is_floating_point() else tensor
            for name, tensor in states[0].items()
        }
    )
    return averaged
