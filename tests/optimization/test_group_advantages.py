"""Advantages of groups against their definitions, written out one by one, and the losses that they go into."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mlproject.config.schema import load_config
from mlproject.models.sequences import Sequences
from mlproject.optimization.on_policy.grpo import GRPO, group_advantages
from mlproject.optimization.on_policy.grpo_config import GRPOConfig
from mlproject.optimization.on_policy.objective import Reading, Rollouts
from mlproject.optimization.on_policy.reinforce import REINFORCE, REINFORCEConfig
from mlproject.optimization.on_policy.rloo import RLOO, RLOOConfig, leave_one_out
from mlproject.optimization.on_policy.shards import Shard

SMOKE = load_config("smoke", {})
REWARDS = [0.5, -1.0, 2.0, 0.25, 3.0, 3.0, 1.0, -2.0]
LENGTHS = [3, 1, 4, 2]
V = 6


def group(rewards: list[float], i: int, size: int) -> list[float]:
    return rewards[i - i % size : i - i % size + size]


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("size", [2, 4])
def test_an_advantage_of_grpo_is_the_reward_among_those_of_its_group(size: int, scale: str) -> None:
    found = group_advantages(torch.tensor(REWARDS), size, scale).tolist()
    for i, reward in enumerate(REWARDS):
        mine = group(REWARDS, i, size)
        sd = {"group": statistics.stdev(mine), "batch": statistics.stdev(REWARDS), "none": None}[scale]
        expected = (reward - statistics.mean(mine)) / (1 if sd is None else sd + 1e-4)
        assert found[i] == pytest.approx(expected, rel=1e-5)


def test_a_group_of_equal_rewards_moves_nothing() -> None:
    for scale in ("group", "batch", "none"):
        assert group_advantages(torch.tensor([2.0, 2.0, 1.0, 3.0]), 2, scale)[:2].tolist() == [0, 0]


@pytest.mark.parametrize("size", [2, 4, 8])
def test_an_advantage_of_rloo_is_the_reward_less_the_mean_of_the_others(size: int) -> None:
    found = leave_one_out(torch.tensor(REWARDS), size).tolist()
    for i, reward in enumerate(REWARDS):
        others = [each for j, each in enumerate(REWARDS) if j // size == i // size and j != i]
        assert found[i] == pytest.approx(reward - statistics.mean(others))


def shard() -> tuple[Shard, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(V, (4, 6), generator=generator)
    starts_B = torch.full((4,), 2)
    sequences = Sequences(ids_BT, starts_B, starts_B + torch.tensor(LENGTHS))
    rewards_BR, log_probs_BR = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    mask_BR = sequences.response_mask_BR
    rewards_BR, log_probs_BR = rewards_BR * mask_BR, (log_probs_BR - 2) * mask_BR
    return Shard(sequences, log_probs_BR, log_probs_BR, torch.zeros_like(log_probs_BR), rewards_BR.sum(1)), rewards_BR


@pytest.mark.parametrize("baseline", ["batch", "none"])
def test_reinforce_counts_the_rewards_from_a_token_on(baseline: str) -> None:
    rollouts, rewards_BR = shard()
    objective = REINFORCE(replace(SMOKE.of(REINFORCEConfig), reinforce_baseline=baseline))
    advantages = objective.rollouts(rollouts, rewards_BR).advantages_BR
    totals = [float(each) for each in rewards_BR.sum(1)]
    for b, length in enumerate(LENGTHS):
        others = statistics.mean(totals[:b] + totals[b + 1 :]) if baseline == "batch" else 0.0
        for r in range(length):
            expected = sum(float(rewards_BR[b, t]) for t in range(r, length)) - others
            assert float(advantages[b, r]) == pytest.approx(expected)


def written_out(kind: str, ratios: list[list[float]], advantages: list[list[float]], low: float, high: float) -> float:
    """The loss of each method from the ratios of the tokens, one token at a time."""
    clipped = lambda ratio, a: min(ratio * a, min(max(ratio, 1 - low), 1 + high) * a)  # noqa: E731
    gains = [[clipped(r, a) for r, a in zip(*rows, strict=True)] for rows in zip(ratios, advantages, strict=True)]
    if kind == "grpo token":
        return -sum(map(sum, gains)) / sum(LENGTHS)
    if kind == "grpo response":
        return -statistics.mean(sum(row) / len(row) for row in gains)
    if kind == "reinforce":
        return -statistics.mean(map(sum, gains))
    return -statistics.mean(clipped(float(np.prod(row)), a[0]) for row, a in zip(ratios, advantages, strict=True))


OBJECTIVES: dict[str, Any] = {
    "grpo token": lambda: GRPO(replace(SMOKE.of(GRPOConfig), ppo_clip=0.2, grpo_clip_high=0.3)),
    "grpo response": lambda: GRPO(
        replace(SMOKE.of(GRPOConfig), ppo_clip=0.2, grpo_clip_high=0.3, grpo_loss="response")
    ),
    "rloo": lambda: RLOO(replace(SMOKE.of(RLOOConfig), ppo_clip=0.2)),
    "reinforce": lambda: REINFORCE(replace(SMOKE.of(REINFORCEConfig), ppo_clip=0.2)),
}


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_the_loss_is_the_clipped_surrogate_of_its_definition(kind: str) -> None:
    rollouts, _ = shard()
    mask_BR = rollouts.sequences.response_mask_BR
    generator = torch.Generator().manual_seed(1)
    logits_BRV = torch.randn(4, 4, V, generator=generator, dtype=torch.float64)
    advantages_BR = torch.randn(4, 1 if kind != "reinforce" else 4, generator=generator, dtype=torch.float64)
    advantages_BR = advantages_BR.expand(4, 4)
    old = Rollouts(rollouts.sequences, rollouts.log_probs_BR, advantages_BR)
    at_BR = Reading.of(logits_BRV, None, old).log_probs_BR
    old_BR = (at_BR + 0.4 * torch.randn(4, 4, generator=generator, dtype=torch.float64)) * mask_BR
    old = replace(old, log_probs_BR=old_BR)
    reading = Reading.of(logits_BRV, None, old)
    objective = OBJECTIVES[kind]()
    loss, diagnostics = objective.loss(reading, old)
    ratios = [(at_BR - old_BR)[b, :n].exp().tolist() for b, n in enumerate(LENGTHS)]
    rows = [advantages_BR[b, :n].tolist() for b, n in enumerate(LENGTHS)]
    high = 0.3 if kind.startswith("grpo") else 0.2
    assert float(loss) == pytest.approx(written_out(kind, ratios, rows, 0.2, high))
    assert 0 < float(diagnostics["clip_fraction"]) < 1
