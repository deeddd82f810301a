"""The options of rewards with cures. Free of torch, so that the command line can show them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlproject.cures import CURES, is_of_several, parse_reward
from mlproject.cures.cure import PLAIN
from mlproject.options.declaration import Options, option

BY_SEED, BY_BOOTSTRAP = "seed", "bootstrap"


@dataclass(frozen=True, kw_only=True)
class RewardOptions(Options):
    """What is optimized: one proxy RM, or a reward made of it or of several."""

    HEADING: ClassVar[str] = "Reward"

    reward: str = option(
        f"{PLAIN}: the proxy RM as it is; or cures with + between them, in the order in which they are applied: "
        + "; ".join(f"{cure.name}: {cure.help}" for cure in CURES.values())
        + " (docs/cures.md)",
        default=PLAIN,
    )
    ensemble_members: int = option("reward models of an ensemble (K)", default=5, minimum=2, maximum=64)
    ensemble_by: str = option(
        "in what the members differ: seed (initial weights and order), or bootstrap (also resampled comparisons)",
        choices=(BY_SEED, BY_BOOTSTRAP),
        default=BY_SEED,
    )
    ensemble_checkpoints: tuple[str, ...] = option(
        "checkpoints of reward models that are the members, in place of some that are trained here",
        allow_empty=True,
        default=(),
    )
    laplace_sds: float = option("laplace: standard deviations that are taken off", default=1.0, minimum=0, maximum=1000)
    laplace_precision: float = option(
        "laplace: precision of the normal prior of the last layer's weights", default=1.0, minimum=1e-9, maximum=1e9
    )
    uwo_lambda: float = option("uncertainty-weighted: weight of the variance", default=0.5, minimum=0, maximum=1000)
    ensemble_sds: float = option(
        "mean-minus-sd: standard deviations that are taken off", default=1.0, minimum=0, maximum=1000
    )
    par_k: float = option("par: steepness, per gold standard deviation", default=1.0, minimum=1e-3, maximum=1000)
    lsc_quantile: float = option(
        "log-sigmoid: quantile of the initial policy's scores that is the centre", default=0.85, minimum=0.001,
        maximum=0.999,
    )  # fmt: skip
    reference_samples: int = option(
        "par, log-sigmoid: reference responses of the initial policy per prompt (M)", default=1, minimum=1, maximum=256
    )
    clip_sds: float = option(
        "clip: standard deviations of the initial policy's scores on either side", default=1.0, minimum=0.01,
        maximum=1000,
    )  # fmt: skip
    reward_ceiling: float = option(
        "ceiling: the highest reward, gold standard deviations", default=3.0, minimum=0, maximum=1000
    )

    @property
    def ensemble_size(self) -> int:
        """Number of reward models of an ensemble: those that are given, or else `ensemble_members`."""
        return len(self.ensemble_checkpoints) or self.ensemble_members

    @property
    def given_ensemble(self) -> str:
        """The first of the given checkpoints that the reward is made of, after which it is called in place of an RM
        size; empty for a reward that is made of models which are trained here, or of one."""
        return self.ensemble_given_for(self.reward)

    def ensemble_given_for(self, *rewards: str) -> str:
        """The same for rewards of which at least one is made of them."""
        given = self.ensemble_checkpoints
        return given[0] if len(given) > 1 and any(is_of_several(parse_reward(text)) for text in rewards) else ""
