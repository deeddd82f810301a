"""What sets the members of an ensemble apart: seeds, resampled comparisons, or what WARM varies from a shared start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import nn

from mlproject.config.schema import Config
from mlproject.cures import Cure
from mlproject.cures.options import BY_BOOTSTRAP
from mlproject.errors import UserError
from mlproject.models.reward_model import START, content_hash
from mlproject.pipeline.loading import numpy_generator
from mlproject.preferences import POLICY, RANDOM
from mlproject.preferences.rankings import resampled

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WARM = "warm"

SEED_STRIDE = 1000
"""Seeds of an ensemble's members lie so far apart: ensembles of different seeds share no member."""

_LR_FACTORS, _DROPOUTS = (1.0, 0.5, 2.0), (0.05, 0.1)
"""Of the members of a weight average, in turn: factors of `rm_lr`, and dropout."""


def variants(config: Config, cures: Sequence[Cure], seed: int, count: int) -> list[dict[str, Any]]:
    """Keyword arguments of `proxy_rm` for each member, beside size and seed: empty, or its `variant`.

    Args:
        config: what sets them apart.
        cures: of the reward.
        seed: of its first member.
        count: number of members; each has the seed of the one before plus `SEED_STRIDE`.
    """
    resampled = {"resampled": True} if count > 1 and config.ensemble_by == BY_BOOTSTRAP else {}
    if not any(cure.name == WARM for cure in cures):
        started = [start_of(config, seed + SEED_STRIDE * number) for number in range(count)]
        return [{"variant": {**resampled, **each}} if resampled or each else {} for each in started]
    return [
        {
            "variant": {
                **resampled,
                "start_seed": seed,
                "lr_factor": _LR_FACTORS[number % len(_LR_FACTORS)],
                "dropout": _DROPOUTS[number % len(_DROPOUTS)],
            }
        }
        for number in range(count)
    ]


def check_start(config: Config, size: str) -> None:
    """Refuse a proxy RM that cannot start where `rm_start` says.

    Raises:
        UserError: for one of another size than the policy's, and where the policy is a checkpoint of the user's.
    """
    policy_size = config.comparisons_policy_size
    if config.rm_start == POLICY and config.world_spec.imports_policy:
        raise UserError(
            f"rm_start={POLICY}: must be {RANDOM} with world={config.world}. Give the policy's checkpoint as rm_sizes, "
            "from which reward models then start."
        )
    if config.rm_start == POLICY and size != policy_size:
        raise UserError(
            f"rm_start={POLICY}: must be of reward models of policy_size ({policy_size}), but one is {size}. Change "
            "the size, or remove the option."
        )


def auxiliary_start(config: Config, size: str, seed: int) -> dict[str, Any]:
    """`start_of` a reward model that is not optimized: from random weights where it is not of the policy's size."""
    can_start_at_policy = size == config.comparisons_policy_size and not config.world_spec.imports_policy
    return start_of(config, seed) if can_start_at_policy else {}


def start_of(config: Config, seed: int) -> dict[str, Any]:
    """Parameters of a reward model that starts from the policy's trunk, those of the first member of a weight average
    of that seed, which it is; none where it starts from random weights."""
    if config.rm_start == RANDOM:
        return {}
    return {"start_seed": seed, "lr_factor": _LR_FACTORS[0], "dropout": _DROPOUTS[0]}


def shared_start(model: PreTrainedModel, params: Mapping[str, Any], trunk: PreTrainedModel | None) -> None:
    """Make a reward model start where the other members of its average start, and vary its dropout.

    Args:
        model: with its head, random by `start_seed`; its configuration then names the start.
        params: of its step.
        trunk: the initial policy, whose trunk it gets; None for one that has the weights of a checkpoint.
    """
    if trunk is not None:
        model.base_model.load_state_dict(trunk.base_model.state_dict())
    setattr(model.config, START, content_hash(model))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = params["dropout"]


def trained_on(table: pd.DataFrame, params: Mapping[str, Any]) -> pd.DataFrame:
    """The comparisons that a proxy RM learns from: all of them, or for a member by bootstrap as many, drawn with
    replacement (Breiman 1996, Bagging predictors)."""
    if not params.get("resampled"):
        return table
    return resampled(table, numpy_generator("bootstrap of comparisons", params["seed"]))
