"""The PPO loss and its gradient steps against policy gradients computed by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from mlproject.config.schema import load_config
from mlproject.models.generation import sample
from mlproject.models.memory import MemoryOptions
from mlproject.models.sequences import Sequences, encode_prompts
from mlproject.optimization.on_policy.actor import ActorCritic
from mlproject.optimization.on_policy.gae import masked_mean
from mlproject.optimization.on_policy.objective import Reading, Rollouts
from mlproject.optimization.on_policy.ppo import PPO
from mlproject.optimization.on_policy.ppo_config import PPOConfig
from mlproject.optimization.on_policy.update import update_policy

V = 8
CLIP = 0.2


def ppo(**options: Any) -> PPO:
    return PPO(replace(load_config("smoke", {}).of(PPOConfig), ppo_clip=CLIP, **options))


def ppo_loss(logits_BRV: Tensor, values_BR: Tensor, rollouts: Rollouts) -> tuple[Tensor, dict[str, Tensor]]:
    return ppo().loss(Reading.of(logits_BRV, values_BR, rollouts), rollouts)


def rollouts_of(lengths: list[int], log_probs_BR: Tensor, advantages_BR: Tensor, seed: int = 0) -> Rollouts:
    """Responses to a prompt of two tokens."""
    generator = torch.Generator().manual_seed(seed)
    ids_BT = torch.randint(V, (len(lengths), 2 + max(lengths)), generator=generator)
    starts_B = torch.full((len(lengths),), 2)
    sequences = Sequences(ids_BT, starts_B, starts_B + torch.tensor(lengths))
    return Rollouts(sequences, log_probs_BR, advantages_BR, torch.zeros_like(advantages_BR))


def log_probs_at(logits_BRV: Tensor, rollouts: Rollouts) -> Tensor:
    ids_BR1 = rollouts.sequences.response_ids_BR[..., None]
    return torch.log_softmax(logits_BRV, -1).gather(-1, ids_BR1).squeeze(-1)


@pytest.fixture
def random_rollouts() -> tuple[Tensor, Rollouts]:
    """Logits, and rollouts that were sampled at exactly these."""
    generator = torch.Generator().manual_seed(1)
    logits_BRV = torch.randn(5, 4, V, generator=generator, dtype=torch.float64)
    advantages_BR = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    rollouts = rollouts_of([1, 4, 2, 4, 3], torch.zeros(5, 4), advantages_BR)
    return logits_BRV, Rollouts(
        rollouts.sequences, log_probs_at(logits_BRV, rollouts), advantages_BR, rollouts.returns_BR
    )


def test_at_ratio_one_the_gradient_is_the_policy_gradient_of_the_advantages(random_rollouts) -> None:
    logits_BRV, rollouts = random_rollouts
    logits_BRV.requires_grad_()
    loss, diagnostics = ppo_loss(logits_BRV, torch.zeros(5, 4), rollouts)
    loss.backward()
    mask_BR, ids_BR = rollouts.sequences.response_mask_BR, rollouts.sequences.response_ids_BR
    tokens = int(mask_BR.sum())
    assert tokens == 14
    for b in range(5):
        for r in range(4):
            score_V = torch.eye(V, dtype=torch.float64)[ids_BR[b, r]] - torch.softmax(logits_BRV[b, r].detach(), -1)
            expected_V = -rollouts.advantages_BR[b, r] * score_V / tokens * mask_BR[b, r]
            torch.testing.assert_close(logits_BRV.grad[b, r], expected_V)
    assert float(diagnostics["clip_fraction"]) == 0
    assert float(diagnostics["approx_kl"]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves"),
    [(1.3, 1.0, False), (1.3, -1.0, True), (0.7, -1.0, False), (0.7, 1.0, True), (1.1, 1.0, True), (0.9, -1.0, True)],
)
def test_the_gradient_vanishes_beyond_the_clip_only_where_it_would_move_further_away(
    ratio: float, advantage: float, moves: bool
) -> None:
    logits_BRV = torch.randn(1, 1, V, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    rollouts = rollouts_of([1], torch.zeros(1, 1), torch.tensor([[advantage]]).double())
    old_BR = log_probs_at(logits_BRV.detach(), rollouts) - torch.log(torch.tensor(ratio))
    rollouts = Rollouts(rollouts.sequences, old_BR, rollouts.advantages_BR, rollouts.returns_BR)
    loss, diagnostics = ppo_loss(logits_BRV, torch.zeros(1, 1), rollouts)
    loss.backward()
    assert bool((logits_BRV.grad != 0).any()) == moves
    assert float(diagnostics["clip_fraction"]) == float(abs(ratio - 1) > 0.2)
    pessimistic = min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
    assert loss.item() == pytest.approx(-pessimistic)
    if moves:  # a step down the loss makes a good token likelier, and a bad one less likely
        stepped_BRV = logits_BRV.detach() - 0.1 * logits_BRV.grad
        change = log_probs_at(stepped_BRV, rollouts) - log_probs_at(logits_BRV.detach(), rollouts)
        assert float(change) * advantage > 0


def test_value_loss_and_diagnostics_are_means_over_the_tokens_of_the_responses(random_rollouts) -> None:
    logits_BRV, rollouts = random_rollouts
    generator = torch.Generator().manual_seed(3)
    moved_BRV = logits_BRV + 0.3 * torch.randn(5, 4, V, generator=generator, dtype=torch.float64)
    values_BR, returns_BR = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    rollouts = Rollouts(rollouts.sequences, rollouts.log_probs_BR, rollouts.advantages_BR, returns_BR)
    loss, diagnostics = ppo_loss(moved_BRV, values_BR, rollouts)
    errors, clipped, divergences, entropies, gains = [], [], [], [], []
    for b, length in enumerate(rollouts.sequences.response_lengths_B.tolist()):
        for r in range(length):
            p_V = torch.softmax(moved_BRV[b, r], -1)
            ratio = float(p_V[rollouts.sequences.response_ids_BR[b, r]] / rollouts.log_probs_BR[b, r].exp())
            advantage = float(rollouts.advantages_BR[b, r])
            errors.append(0.5 * float(values_BR[b, r] - returns_BR[b, r]) ** 2)
            clipped.append(abs(ratio - 1) > 0.2)
            divergences.append(ratio - 1 - float(torch.log(torch.tensor(ratio, dtype=torch.float64))))
            entropies.append(-float((p_V * p_V.log()).sum()))
            gains.append(min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage))
    mean = lambda values: sum(values) / 14  # noqa: E731
    assert 0 < mean(clipped) < 1
    assert float(diagnostics["clip_fraction"]) == pytest.approx(mean(clipped))
    assert float(diagnostics["approx_kl"]) == pytest.approx(mean(divergences))
    assert float(diagnostics["entropy"]) == pytest.approx(mean(entropies))
    assert float(diagnostics["value_loss"]) == pytest.approx(mean(errors))
    assert loss.item() == pytest.approx(mean(errors) - mean(gains))


class Recorder:
    """An optimizer that takes no step and records gradients."""

    def __init__(self, *groups: list[Tensor]) -> None:
        self.param_groups = [{"params": list(group)} for group in groups]
        self.steps: list[list[Tensor]] = []

    def step(self) -> None:
        self.steps.append([p.grad.clone() for group in self.param_groups for p in group["params"]])

    def zero_grad(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None


@pytest.fixture
def sampled(tiny_policy, tiny_tokenizer) -> tuple[ActorCritic, Rollouts]:
    """Responses of very different lengths to prompts of different lengths, slightly off-policy."""
    policy = tiny_policy(seed=2, eos=2.0)
    prompts = encode_prompts(tiny_tokenizer, ["yes", "no no yes maybe no"])
    generator = torch.Generator().manual_seed(0)
    samples = sample(policy, prompts, max_new_tokens=6, generator=generator, samples_per_prompt=11)
    mask_BR = samples.sequences.response_mask_BR
    noise_BR, advantages_BR, returns_BR = torch.randn(3, *mask_BR.shape, generator=generator) * mask_BR
    sequences = samples.sequences.select(torch.arange(len(samples.sequences)))  # tensors that autograd may save
    actor_critic = ActorCritic(policy)
    torch.nn.init.normal_(actor_critic.value_head[-1].weight, generator=generator)
    return actor_critic, Rollouts(sequences, samples.log_probs_BR + 0.1 * noise_BR, advantages_BR, 3 * returns_BR)


def recorded_update(
    actor_critic: ActorCritic, rollouts: Rollouts, minibatches: int
) -> tuple[Recorder, dict[str, float]]:
    objective = ppo(ppo_epochs=1, ppo_minibatches=minibatches)
    task = SimpleNamespace(
        config=objective.config,
        generator=torch.Generator().manual_seed(5),
        accelerator=Accelerator(cpu=True),
        memory=MemoryOptions(),
    )
    recorder = Recorder(list(actor_critic.policy.parameters()), list(actor_critic.value_head.parameters()))
    return recorder, update_policy(task, actor_critic, recorder, rollouts, objective)


def by_hand(actor_critic: ActorCritic, rollouts: Rollouts) -> tuple[list[Tensor], dict[str, float]]:
    """Gradient of one undivided minibatch, each group clipped to norm 1."""
    logits_BRV, values_BR = actor_critic(rollouts.sequences)
    loss, diagnostics = ppo_loss(logits_BRV, values_BR, rollouts)
    gradients = []
    for module in (actor_critic.policy, actor_critic.value_head):
        group = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True)
        norm = float(torch.sqrt(sum((g**2).sum() for g in group)))
        gradients += [g / max(1.0, norm) for g in group]
    return gradients, {name: float(value) for name, value in diagnostics.items()}


def test_dividing_a_minibatch_by_length_gives_the_gradient_of_the_whole(sampled) -> None:
    actor_critic, rollouts = sampled
    lengths_B = rollouts.sequences.response_lengths_B
    assert int(lengths_B.min()) < int(lengths_B.max())
    recorder, diagnostics = recorded_update(actor_critic, rollouts, minibatches=1)
    expected, expected_diagnostics = by_hand(actor_critic, rollouts)
    (gradients,) = recorder.steps
    assert max(float(g.abs().max()) for g in expected) > 1e-2
    for gradient, expected_gradient in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, atol=1e-5, rtol=1e-3)
    assert diagnostics == pytest.approx(expected_diagnostics, rel=1e-4)


def test_an_epoch_takes_one_step_per_minibatch_and_uses_every_rollout_once(sampled) -> None:
    actor_critic, rollouts = sampled
    recorder, _ = recorded_update(actor_critic, rollouts, minibatches=3)
    order = torch.randperm(len(rollouts.sequences), generator=torch.Generator().manual_seed(5))
    minibatches = order.tensor_split(3)
    assert len(recorder.steps) == len(minibatches) == 3
    for gradients, index in zip(recorder.steps, minibatches, strict=True):
        for gradient, expected_gradient in zip(
            gradients, by_hand(actor_critic, rollouts.select(index))[0], strict=True
        ):
            torch.testing.assert_close(gradient, expected_gradient, atol=1e-5, rtol=1e-3)


def test_the_value_head_sends_no_gradient_into_the_policy(sampled) -> None:
    actor_critic, rollouts = sampled
    _, values_BR = actor_critic(rollouts.sequences)
    masked_mean(values_BR**2, rollouts.sequences.response_mask_BR).backward()
    assert all(p.grad is None for p in actor_critic.policy.parameters())
    assert any(float(p.grad.abs().sum()) > 0 for p in actor_critic.value_head.parameters())


def test_the_value_head_starts_at_zero(tiny_policy, sampled) -> None:
    _, rollouts = sampled
    _, values_BR = ActorCritic(tiny_policy())(rollouts.sequences)
    assert (values_BR == 0).all()


def test_an_excluded_token_changes_neither_loss_nor_gradient_nor_diagnostics(random_rollouts) -> None:
    logits_BRV, rollouts = random_rollouts  # of the vocabulary without the excluded token
    masked_BRV = torch.cat([logits_BRV, torch.full((5, 4, 1), -torch.inf, dtype=torch.float64)], dim=-1)
    past_end = rollouts.sequences.ids_BT.clone()
    past_end[0, 3:] = V  # what stands past the end of a response may be the excluded token
    results = []
    for logits, ids_BT in ((logits_BRV, rollouts.sequences.ids_BT), (masked_BRV, past_end)):
        logits.requires_grad_()
        sequences = replace(rollouts.sequences, ids_BT=ids_BT)
        loss, diagnostics = ppo_loss(logits, torch.zeros(5, 4), replace(rollouts, sequences=sequences))
        loss.backward()
        results.append((loss.detach(), logits.grad, diagnostics))
    (loss, gradient_BRV, diagnostics), (masked_loss, masked_gradient_BRV, masked_diagnostics) = results
    torch.testing.assert_close(masked_loss, loss)
    torch.testing.assert_close(masked_gradient_BRV[..., :V], gradient_BRV)
    assert (masked_gradient_BRV[..., V] == 0).all()
    torch.testing.assert_close(masked_diagnostics, diagnostics)
