"""The main job as a list of steps: one over-optimization study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlproject.models.sizes import SIZES
from mlproject.steps.comparisons import comparisons
from mlproject.steps.gold_rm import gold_rm
from mlproject.steps.initial_policy import initial_policy
from mlproject.steps.law import law
from mlproject.steps.policy_run import policy_run
from mlproject.steps.pool import pool
from mlproject.steps.proxy_rm import proxy_rm
from mlproject.steps.step import Step

if TYPE_CHECKING:
    from mlproject.config import Config


@dataclass(frozen=True)
class Plan:
    """The steps of a study that are known before it starts (the search decides on its own ones as it goes).

    Attributes:
        comparisons: gold-labelled pairs that the proxies learn from.
        pool: the initial policy's samples on the curve prompts.
        proxies: by (size, seed).
        policy_runs: one for each method, size and seed.
        law: fitted to all policy runs.
    """

    comparisons: Step
    pool: Step
    proxies: dict[tuple[str, int], Step]
    policy_runs: list[Step]
    law: Step

    @property
    def steps(self) -> list[Step]:
        return [self.pool, *self.proxies.values(), *self.policy_runs, self.law]


def plan_study(config: Config) -> Plan:
    """Lay out a study: world -> policy -> gold -> comparisons -> proxies -> curves -> laws."""
    policy = initial_policy(config)
    gold = gold_rm(config, policy)
    labelled = comparisons(config, policy, gold)
    samples = pool(config, policy, gold)
    largest_first = sorted(config.rm_sizes, key=lambda size: -SIZES[size].reward_model_parameters)
    proxies = {(size, seed): proxy_rm(config, labelled, size, seed) for size in largest_first for seed in config.seeds}
    runs = [
        policy_run(config, proxy, samples, method, seed)
        for method in reversed(config.methods)
        for (_, seed), proxy in proxies.items()
    ]
    return Plan(labelled, samples, proxies, runs, law(config, runs))
