"""The options that all on-policy methods share. Free of torch, as are those of each method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mlproject.optimization.method_config import STOPS, MethodConfig
from mlproject.options.declaration import BrokenRule, option

if TYPE_CHECKING:
    from mlproject.options.study import StudyOptions


@dataclass(frozen=True, kw_only=True)
class OnPolicyConfig(MethodConfig):
    """Options of every on-policy method: rollouts, gradient steps, curve points and their budget.

    They are named after PPO, which had them first, so that one command gives all methods the same budget.
    """

    HEADING: ClassVar[str] = "On-policy methods"

    kl_coef: float = option("KL penalty, gold standard deviations per nat", minimum=0, maximum=100)
    ppo_updates: int = option("updates of a run: its budget", minimum=1)
    ppo_batch_size: int = option("rollouts per update", minimum=2)
    ppo_epochs: int = option("passes over the rollouts of an update", minimum=1, maximum=100)
    ppo_minibatches: int = option("gradient steps per pass", minimum=1)
    ppo_lr: float = option("learning rate of the policy", minimum=1e-9, maximum=1)
    ppo_clip: float = option("clip range of the probability ratio", minimum=0.001, maximum=10)
    ppo_eval_first: int = option("updates at the beginning of a run that are all measured", minimum=0)
    ppo_eval_every: int = option("updates between two curve points after these", minimum=1)
    eval_samples: int = option("responses per curve prompt at each curve point", minimum=1, maximum=1000)
    stop: str = option(
        "when a run ends: after ppo_updates (budget), once the forecast says that the peak is past (forecast), or at "
        "the KL budget of the registered proxy (kl-budget)",
        choices=STOPS,
        heading="Stopping",
    )
    ppo_rollout_batch: int = option(
        "rollouts sampled at a time, and shared between processes; 0: all at once, by one process", default=0, minimum=0
    )
    ppo_mixed_precision: str = option("precision of the gradient passes", default="no", choices=("no", "bf16"))
    lora_rank: int = option(
        "rank of the adapters that are trained instead of the whole policy; 0: no adapters",
        default=0,
        minimum=0,
        maximum=4096,
    )

    @property
    def last_step(self) -> int:
        return self.ppo_updates

    @property
    def samples_per_prompt(self) -> int:
        return self.eval_samples

    @property
    def stops_at(self) -> str:
        return self.stop

    @property
    def process_limit(self) -> tuple[int, str]:
        """Processes share rollouts by shards, and minibatches by rollouts."""
        batch, size, minibatches = self.ppo_batch_size, self.ppo_rollout_batch, self.ppo_minibatches
        shards = -(-batch // size) if size else 1
        if shards <= batch // minibatches:
            return shards, f"ppo_rollout_batch={size} with ppo_batch_size={batch}"
        return batch // minibatches, f"ppo_minibatches={minibatches} with ppo_batch_size={batch}"

    def broken_rules(self, config: StudyOptions) -> Iterator[BrokenRule]:
        """A minibatch needs a rollout, and a run a curve point."""
        if self.ppo_minibatches > self.ppo_batch_size:
            yield BrokenRule(
                "ppo_minibatches",
                f"be at most ppo_batch_size={self.ppo_batch_size}",
                "Use fewer minibatches or a larger batch.",
            )
        if self.ppo_eval_every > self.ppo_updates:
            yield BrokenRule(
                "ppo_eval_every", f"be at most ppo_updates={self.ppo_updates}", "Measure more often or run longer."
            )
