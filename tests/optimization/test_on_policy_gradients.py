"""Expected gradients of on-policy methods and of penalties, against exact ones, on a policy that is enumerated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.optimization.exact_policy import Enumerated

from mlproject.config.schema import load_config
from mlproject.optimization.on_policy.penalty import Penalty
from mlproject.optimization.on_policy.reinforce import REINFORCE, REINFORCEConfig
from mlproject.optimization.on_policy.rloo import RLOO, RLOOConfig

SMOKE = load_config("smoke", {})
COEF = 0.3


def rloo(**options: Any) -> RLOO:
    return RLOO(replace(SMOKE.of(RLOOConfig), rloo_group_size=2, **options))


def reinforce(**options: Any) -> REINFORCE:
    return REINFORCE(replace(SMOKE.of(REINFORCEConfig), **options))


@pytest.fixture(scope="module")
def policies(tiny_policy):
    """A policy, and the reference that it has moved away from."""
    return tiny_policy(seed=3, sharpness=2.0), tiny_policy(seed=4, sharpness=2.0)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.cosine_similarity(a, b, dim=0))


@pytest.mark.parametrize("kl_coef", [0.0, COEF])
@pytest.mark.parametrize("build", [rloo, reinforce])
def test_the_expected_gradient_is_that_of_expected_reward_less_kl(policies, build, kl_coef: float) -> None:
    policy, reference = policies
    responses = Enumerated.of(policy, tokens=1)
    objective = build(kl_coef=kl_coef)
    step = responses.expected_step(policy, reference, objective, Penalty(objective.config, reference), draws=2)
    exact = responses.exact_gradient(policy, reference, kl_coef)
    torch.testing.assert_close(step, exact, atol=2e-6, rtol=1e-4)


def test_without_a_baseline_it_is_the_same_for_responses_of_several_tokens(policies) -> None:
    policy, reference = policies
    responses = Enumerated.of(policy, tokens=2)
    objective = reinforce(kl_coef=COEF, reinforce_baseline="none")
    step = responses.expected_step(policy, reference, objective, Penalty(objective.config, reference), draws=1)
    torch.testing.assert_close(step, responses.exact_gradient(policy, reference, COEF), atol=5e-6, rtol=1e-3)


def penalty_gradient(policies, tokens: int, place: str, estimator: str) -> tuple[float, float]:
    """Cosine with the exact gradient of KL, and length as a multiple of its length."""
    policy, reference = policies
    responses = Enumerated.of(policy, tokens)
    objective = reinforce(kl_coef=1.0, kl_in=place, kl_estimator=estimator, reinforce_baseline="none")
    penalty = Penalty(objective.config, reference)
    exact = responses.exact_gradient(policy, reference, 1.0, rewarded=False)
    unrewarded = Enumerated(responses.sequences, torch.zeros_like(responses.scores_B))
    if place == "reward":
        step = unrewarded.expected_step(policy, reference, objective, penalty, draws=1)
    else:
        step = responses.expected_penalty_step(policy, reference, objective, penalty, estimator)
    return cosine(step, exact), float(step.norm() / exact.norm())


def test_only_k1_in_the_reward_has_the_gradient_of_kl(policies) -> None:
    found = {
        (place, k): penalty_gradient(policies, 2, place, k) for place in ("reward", "loss") for k in ("k1", "k2", "k3")
    }
    assert found["reward", "k1"] == pytest.approx((1, 1), abs=1e-4)
    assert found["loss", "k1"][1] < 1e-4  # nothing holds the policy
    for wrong in (("reward", "k2"), ("reward", "k3"), ("loss", "k2"), ("loss", "k3")):
        assert found[wrong][0] < 0.999 or abs(found[wrong][1] - 1) > 0.02, wrong


def test_in_the_loss_k2_has_the_gradient_of_kl_for_single_tokens_and_k3_that_of_the_reverse_kl(policies) -> None:
    policy, reference = policies
    assert penalty_gradient(policies, 1, "loss", "k2") == pytest.approx((1, 1), abs=1e-4)
    responses = Enumerated.of(policy, 1)
    log_p_B = responses.log_probs_BR(policy).sum(1)
    q_B = responses.log_probs_BR(reference).sum(1).detach().exp()
    reverse = torch.cat([g.flatten() for g in torch.autograd.grad((q_B * log_p_B).sum(), list(policy.parameters()))])
    objective = reinforce(kl_coef=1.0, kl_in="loss", kl_estimator="k3")
    step = responses.expected_penalty_step(policy, reference, objective, Penalty(objective.config, reference), "k3")
    torch.testing.assert_close(step, reverse, atol=2e-6, rtol=1e-4)


def test_corrected_by_the_ratio_k1_and_k3_have_the_gradient_of_kl_for_single_tokens(policies) -> None:
    for estimator in ("k1", "k3"):
        assert penalty_gradient(policies, 1, "corrected-loss", estimator) == pytest.approx((1, 1), abs=1e-4)
    assert penalty_gradient(policies, 1, "corrected-loss", "k2")[0] < 0.999


def test_sqrt_chi2_in_the_reward_has_the_gradient_of_the_root(policies, monkeypatch) -> None:
    policy, reference = policies
    responses = Enumerated.of(policy, 2)
    log_p_B = responses.log_probs_BR(policy).sum(1)
    log_q_B = responses.log_probs_BR(reference).sum(1).detach()
    root = ((2 * log_p_B - log_q_B).exp().sum() - 1).sqrt()
    exact = -torch.cat([g.flatten() for g in torch.autograd.grad(root, list(policy.parameters()))])
    monkeypatch.setattr("mlproject.optimization.on_policy.penalty._root", lambda log_ratio_B: root.detach())
    objective = reinforce(kl_coef=1.0, kl_estimator="sqrt-chi2", reinforce_baseline="none")
    unrewarded = Enumerated(responses.sequences, torch.zeros_like(responses.scores_B))
    step = unrewarded.expected_step(policy, reference, objective, Penalty(objective.config, reference), draws=1)
    torch.testing.assert_close(step, exact, atol=5e-6, rtol=1e-3)
