"""Rewards and advantages against their definitions, written out token by token."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mlproject.errors import NotFiniteError
from mlproject.optimization.on_policy.gae import generalized_advantages, masked_mean, shaped_rewards, whiten

LENGTHS = torch.tensor([1, 5, 3, 4, 5, 2])


@pytest.fixture
def mask_BR() -> Tensor:
    return torch.arange(5) < LENGTHS[:, None]


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rewards_of_a_response_sum_to_its_score_minus_the_kl_penalty(mask_BR: Tensor) -> None:
    scores_B, log_ratio_BR = noise(0, 6), noise(1, 6, 5)
    rewards_BR = shaped_rewards(scores_B, log_ratio_BR, mask_BR, kl_coef=0.3)
    for b, length in enumerate(LENGTHS.tolist()):
        expected = scores_B[b] - 0.3 * sum(log_ratio_BR[b, r] for r in range(length))
        assert float(rewards_BR[b].sum()) == pytest.approx(float(expected))


def test_the_score_stands_at_the_last_token_and_the_penalty_at_every_one(mask_BR: Tensor) -> None:
    scores_B, log_ratio_BR = noise(0, 6), noise(1, 6, 5)
    rewards_BR = shaped_rewards(scores_B, log_ratio_BR, mask_BR, kl_coef=0.3)
    for b, length in enumerate(LENGTHS.tolist()):
        for r in range(5):
            penalty = 0.3 * float(log_ratio_BR[b, r]) if r < length else 0.0
            score = float(scores_B[b]) if r == length - 1 else 0.0
            assert float(rewards_BR[b, r]) == pytest.approx(score - penalty)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 0.95, 1.0])
def test_advantages_are_the_discounted_sums_of_the_definition(gae_lambda: float, mask_BR: Tensor) -> None:
    rewards_BR, values_BR = noise(2, 6, 5), noise(3, 6, 5)  # not masked: what stands behind the end must not count
    advantages_BR = generalized_advantages(rewards_BR, values_BR, mask_BR, gae_lambda)
    for b, length in enumerate(LENGTHS.tolist()):
        values = [*values_BR[b, :length].tolist(), 0.0]
        deltas = [float(rewards_BR[b, t]) + values[t + 1] - values[t] for t in range(length)]
        for t in range(5):
            expected = sum(gae_lambda**k * deltas[t + k] for k in range(length - t)) if t < length else 0.0
            assert float(advantages_BR[b, t]) == pytest.approx(expected)


def test_with_lambda_one_an_advantage_is_the_return_minus_the_value(mask_BR: Tensor) -> None:
    rewards_BR, values_BR = noise(2, 6, 5).masked_fill(~mask_BR, 0), noise(3, 6, 5)
    advantages_BR = generalized_advantages(rewards_BR, values_BR, mask_BR, 1.0)
    returns_BR = rewards_BR.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(advantages_BR[mask_BR], (returns_BR - values_BR)[mask_BR])


def test_with_lambda_zero_an_advantage_looks_one_step_ahead(mask_BR: Tensor) -> None:
    rewards_BR, values_BR = noise(2, 6, 5), noise(3, 6, 5)
    advantages_BR = generalized_advantages(rewards_BR, values_BR, mask_BR, 0.0)
    assert float(advantages_BR[1, 2]) == pytest.approx(float(rewards_BR[1, 2] + values_BR[1, 3] - values_BR[1, 2]))
    assert float(advantages_BR[2, 2]) == pytest.approx(float(rewards_BR[2, 2] - values_BR[2, 2]))


@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
def test_exact_values_leave_no_advantage(gae_lambda: float, mask_BR: Tensor) -> None:
    rewards_BR = noise(2, 6, 5).masked_fill(~mask_BR, 0)
    values_BR = rewards_BR.flip(1).cumsum(1).flip(1)
    advantages_BR = generalized_advantages(rewards_BR, values_BR, mask_BR, gae_lambda)
    torch.testing.assert_close(advantages_BR, torch.zeros_like(advantages_BR), atol=1e-12, rtol=0)


def test_a_masked_mean_counts_the_tokens_that_are_there(mask_BR: Tensor) -> None:
    values_BR = noise(4, 6, 5)
    there = [float(values_BR[b, r]) for b, length in enumerate(LENGTHS.tolist()) for r in range(length)]
    assert float(masked_mean(values_BR, mask_BR)) == pytest.approx(sum(there) / len(there))


def test_whitened_values_have_mean_zero_and_variance_one_over_the_tokens(mask_BR: Tensor) -> None:
    values_BR = 40 + 7 * noise(5, 6, 5)
    whitened_BR = whiten(values_BR, mask_BR)
    there = whitened_BR[mask_BR]
    assert float(there.mean()) == pytest.approx(0, abs=1e-9)
    assert float(there.var(correction=0)) == pytest.approx(1, abs=1e-6)
    assert (whitened_BR[~mask_BR] == 0).all()
    torch.testing.assert_close(there.argsort(), values_BR[mask_BR].argsort())
    assert (whiten(torch.full((6, 5), 3.0), mask_BR) == 0).all()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_named_and_spreads_to_no_other_rollout(mask_BR: Tensor, value: float) -> None:
    scores_B, log_ratio_BR = noise(0, 6), noise(1, 6, 5)
    broken_B = scores_B.clone()
    broken_B[3] = value
    with pytest.raises(NotFiniteError, match=r"proxy scores of .* in 1 of 6 rollouts, the first is number 3"):
        shaped_rewards(broken_B, log_ratio_BR, mask_BR, kl_coef=0.3)
    broken_BR = log_ratio_BR.clone()
    broken_BR[4, 1] = value
    with pytest.raises(NotFiniteError, match=r"log-ratios .* number 4"):
        shaped_rewards(scores_B, broken_BR, mask_BR, kl_coef=0.3)
    with pytest.raises(NotFiniteError, match="values of the rollouts"):
        generalized_advantages(log_ratio_BR, broken_BR, mask_BR, 0.95)
    with pytest.raises(NotFiniteError, match="rewards of the rollouts"):
        generalized_advantages(broken_BR, log_ratio_BR, mask_BR, 0.95)
    with pytest.raises(NotFiniteError, match="whitened"):
        whiten(broken_BR, mask_BR)


def test_what_stands_past_the_end_of_a_response_may_be_anything(mask_BR: Tensor) -> None:
    values_BR, whatever_BR = noise(0, 6, 5), noise(0, 6, 5).masked_fill(~mask_BR, math.nan)
    assert torch.equal(whiten(values_BR, mask_BR), whiten(whatever_BR, mask_BR))
    assert torch.equal(
        generalized_advantages(values_BR, values_BR, mask_BR, 0.9),
        generalized_advantages(values_BR, whatever_BR, mask_BR, 0.9),
    )
