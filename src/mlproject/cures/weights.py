"""What cures that change weights have in common."""

from __future__ import annotations

from dataclasses import dataclass

from mlproject.errors import UserError
from mlproject.models.prompt_format import Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import Scorer, TextRewardModel


@dataclass(frozen=True)
class Material:
    """Responses that such a cure reads.

    Attributes:
        trained_a, trained_b: both sides of the comparisons that the reward models learned from.
        initial_a, initial_b: responses of the initial policy, by which rewards are put on gold's scale.
    """

    trained_a: Responses
    trained_b: Responses
    initial_a: Responses
    initial_b: Responses


def model_of(scorer: Scorer, cure: str) -> RewardModel:
    """The reward model of a scorer.

    Raises:
        UserError: for a scorer that has no weights.
    """
    if isinstance(scorer, TextRewardModel):
        return scorer.reward_model
    if isinstance(scorer, RewardModel):
        return scorer
    raise UserError(
        f"reward={cure}: must be of a reward model, since a function or a service has no weights. Use another cure."
    )
