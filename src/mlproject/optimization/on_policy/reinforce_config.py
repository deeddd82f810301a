"""The options of REINFORCE, and what it declares about itself: `mlproject.optimization.on_policy.reinforce`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlproject.optimization.method import Method
from mlproject.optimization.on_policy.config import OnPolicyConfig
from mlproject.options.declaration import option

BATCH, NONE = "batch", "none"


@dataclass(frozen=True, kw_only=True)
class REINFORCEConfig(OnPolicyConfig):
    """Options of REINFORCE."""

    HEADING: ClassVar[str] = "REINFORCE"

    reinforce_baseline: str = option(
        "what is taken from a reward: the mean reward of the other rollouts of its update, or nothing",
        default=BATCH,
        choices=(BATCH, NONE),
    )


METHOD = Method("reinforce", "REINFORCE", REINFORCEConfig, module="mlproject.optimization.on_policy.reinforce")
