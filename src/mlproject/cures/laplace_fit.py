"""The posterior of a reward model's last layer, see `laplace`.

Axis letters: B comparisons or responses, H hidden width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from mlproject.cures.cure import Options
from mlproject.cures.weights import Material, model_of
from mlproject.errors import UserError
from mlproject.models.conservative_head import ConservativeHead, head_of, hidden_states, put_head
from mlproject.models.prompt_format import Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import Scorer, TextRewardModel


def apply(scorers: Sequence[Scorer], options: Options, material: Material) -> list[Scorer]:
    """Each reward model with its conservative head."""
    return [_conservative(scorer, options, material) for scorer in scorers]


def posterior_root(difference_BH: Tensor, weight_H: Tensor, precision: float) -> Tensor:
    """R with R R' the covariance of the last layer's weights, by Laplace's approximation.

    Args:
        difference_BH: hidden states of one response less those of the other. Shape: (B, H).
        weight_H: trained weights of the last layer. Shape: (H,).
        precision: of the normal prior of each weight.

    Returns:
        shape: (H, H), float64.
    """
    difference_BH, weight_H = difference_BH.double(), weight_H.double()
    p_B = torch.sigmoid(difference_BH @ weight_H)
    hessian_HH = difference_BH.T @ ((p_B * (1 - p_B))[:, None] * difference_BH)
    hessian_HH += precision * torch.eye(len(weight_H), dtype=torch.float64)
    return torch.linalg.inv(torch.linalg.cholesky(hessian_HH)).T


def _conservative(scorer: Scorer, options: Options, material: Material) -> Scorer:
    model = copy.deepcopy(model_of(scorer, "laplace").model)
    name, head = head_of(model)
    if isinstance(head, ConservativeHead):
        raise UserError(
            "laplace: must be given a reward model with a plain head, but this one has its sigma taken off."
        )

    def hidden(responses: Responses) -> Tensor:
        assert isinstance(scorer, RewardModel | TextRewardModel)
        return hidden_states(model, scorer.read(responses))

    difference_BH = hidden(material.trained_a) - hidden(material.trained_b)
    certain_H = torch.cat([hidden(material.initial_a), hidden(material.initial_b)]).mean(0)
    assert isinstance(head, nn.Linear)
    weight_H = head.weight.detach().cpu().flatten()
    root_HH = posterior_root(difference_BH, weight_H, options["laplace_precision"])
    made = ConservativeHead(head, root_HH.float(), certain_H.float(), options["laplace_sds"])
    put_head(model, name, made.to(model.device).eval())
    if isinstance(scorer, TextRewardModel):
        return replace(scorer, reward_model=replace(scorer.reward_model, model=model))
    assert isinstance(scorer, RewardModel)
    return replace(scorer, model=model)
