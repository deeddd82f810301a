"""The check before the first update: a penalty of our own methods works, or is refused before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.optimization.test_rollout_shards import one_of, task_of  # noqa: F401 - a fixture

from mlproject.config.schema import load_config
from mlproject.errors import UserError
from mlproject.optimization.on_policy.grpo import GRPO, GRPOConfig
from mlproject.optimization.on_policy.idle_penalty import check_penalties
from mlproject.optimization.on_policy.ppo import PPO, PPOConfig
from mlproject.optimization.on_policy.reinforce import REINFORCE, REINFORCEConfig
from mlproject.optimization.on_policy.rloo import RLOO, RLOOConfig

SMOKE = load_config("smoke", {})
OBJECTIVES = [(PPO, PPOConfig), (GRPO, GRPOConfig), (RLOO, RLOOConfig), (REINFORCE, REINFORCEConfig)]
PENALTIES: list[dict[str, Any]] = [
    {"kl_coef": 0.1},
    {"kl_coef": 1e-3, "kl_in": "loss", "kl_estimator": "k3"},
    {"kl_coef": 0.1, "kl_in": "corrected-loss", "kl_estimator": "k3", "gradient_penalty": 0.01},
    {"kl_coef": 0.1, "kl_estimator": "sqrt-chi2"},
]


class Deaf(RLOO):
    """A method that reads scores and forgets what was taken from them."""

    def rollouts(self, shard, rewards_BR):
        return super().rollouts(shard, torch.zeros_like(rewards_BR).index_fill(1, torch.tensor([0]), 1.0))


@pytest.mark.parametrize(("objective_class", "config_class"), OBJECTIVES)
def test_every_penalty_of_every_method_changes_its_gradient_and_the_check_leaves_no_trace(
    objective_class,
    config_class,
    task_of,  # noqa: F811
    tiny_policy,
) -> None:
    for options in PENALTIES:
        objective = objective_class(replace(SMOKE.of(config_class), **options))
        task = task_of(one_of())
        task.config = objective.config
        actor = objective.new_actor(tiny_policy(seed=2))
        before = [p.clone() for p in actor.parameters()]
        random_before, own_before = torch.get_rng_state(), task.generator.get_state()
        check_penalties(task, actor, objective)
        assert all(torch.equal(p, b) and p.grad is None for p, b in zip(actor.parameters(), before, strict=True))
        assert torch.equal(torch.get_rng_state(), random_before)
        assert torch.equal(task.generator.get_state(), own_before)


def test_a_method_that_drops_its_penalty_is_refused_in_one_line(task_of, tiny_policy) -> None:  # noqa: F811
    task, objective = task_of(one_of()), Deaf(replace(SMOKE.of(RLOOConfig), kl_coef=0.1))
    task.config = objective.config
    with pytest.raises(UserError, match=r"^kl_coef=0.1: must hold the policy, but does nothing in rloo: when it is"):
        check_penalties(task, objective.new_actor(tiny_policy(seed=2)), objective)
    idle = RLOO(replace(SMOKE.of(RLOOConfig), kl_coef=0.0))
    task.config = idle.config
    check_penalties(task, None, idle)  # nothing is asked for
