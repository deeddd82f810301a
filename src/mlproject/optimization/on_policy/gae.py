"""Rewards, advantages and returns of policy-gradient training on responses.

Axis letters: B responses, R tokens of a response.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mlproject.errors import NotFiniteError


def shaped_rewards(scores_B: Tensor, penalty_BR: Tensor, mask_BR: Tensor, kl_coef: float) -> Tensor:
    """Per-token rewards: the score at the last token, minus the KL penalty at every token.

    Args:
        scores_B: proxy score of each response, gold standard deviations. Shape: (B,).
        penalty_BR: what is penalized at each token, such as log pi(token) - log pi_init(token), nats. Shape: (B, R).
        mask_BR: True on response tokens. Shape: (B, R).
        kl_coef: gold standard deviations per nat.

    Returns:
        rewards whose sum over a response is score - kl_coef * sum of the penalties. Shape: (B, R).

    Raises:
        NotFiniteError: for a score or log-ratio of nan or infinity; one would spread to every rollout of the batch.
    """
    check_finite("proxy scores of the rollouts", scores_B)
    check_finite("log-ratios of the rollouts to the initial policy", penalty_BR.masked_fill(~mask_BR, 0.0))
    rewards_BR = (-kl_coef * penalty_BR).masked_fill(~mask_BR, 0.0)
    last_B = mask_BR.sum(1) - 1
    return rewards_BR.scatter_add(1, last_B[:, None], scores_B[:, None].to(rewards_BR.dtype))


def generalized_advantages(rewards_BR: Tensor, values_BR: Tensor, mask_BR: Tensor, gae_lambda: float) -> Tensor:
    """Generalized advantage estimation without discount (Schulman et al. 2016, equation 16, gamma = 1).

    A_t = delta_t + lambda A_{t+1}, delta_t = r_t + V_{t+1} - V_t, and V = 0 after the last token, whether the response
    ended by itself or was truncated: there is no reward after it.

    Args:
        rewards_BR: per-token rewards. Shape: (B, R).
        values_BR: predicted sum of the rewards from each token on. Shape: (B, R).
        mask_BR: True on response tokens. Shape: (B, R).
        gae_lambda: 0 (one-step) to 1 (Monte Carlo).

    Returns:
        advantages, 0 where there is no token. Shape: (B, R).

    Raises:
        NotFiniteError: for a reward or value of nan or infinity.
    """
    values_BR = values_BR.masked_fill(~mask_BR, 0.0)
    check_finite("rewards of the rollouts", rewards_BR.masked_fill(~mask_BR, 0.0))
    check_finite("values of the rollouts", values_BR)
    advantages_BR = torch.zeros_like(values_BR)
    following_B = torch.zeros_like(values_BR[:, 0])
    next_value_B = torch.zeros_like(values_BR[:, 0])
    for r in reversed(range(values_BR.shape[1])):
        delta_B = rewards_BR[:, r] + next_value_B - values_BR[:, r]
        following_B = (delta_B + gae_lambda * following_B) * mask_BR[:, r]
        next_value_B = values_BR[:, r]
        advantages_BR[:, r] = following_B
    return advantages_BR


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the entries where the mask is True. Shape: ()."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)


def whiten(values_BR: Tensor, mask_BR: Tensor) -> Tensor:
    """Shift and scale to mean 0 and variance 1 over the tokens; 0 where there is none. Shape: (B, R).

    Raises:
        NotFiniteError: for a value of nan or infinity at a token.
    """
    check_finite("values to be whitened", values_BR.masked_fill(~mask_BR, 0.0))
    mean = masked_mean(values_BR, mask_BR)
    variance = masked_mean((values_BR - mean) ** 2, mask_BR)
    return ((values_BR - mean) * torch.rsqrt(variance + 1e-8)).masked_fill(~mask_BR, 0.0)


def check_finite(name: str, values: Tensor) -> None:
    """Check values of which each row belongs to a rollout.

    Raises:
        NotFiniteError: for nan or infinity; names the rollouts.
    """
    rows = (~values.isfinite()).reshape(len(values), -1).any(1).nonzero().flatten().tolist()
    if rows:
        raise NotFiniteError(
            name,
            f"must be finite, but are not in {len(rows)} of {len(values)} rollouts, the first is number {rows[0]}",
            "Check the reward model, and lower the learning rate.",
        )
