"""A check before the first update: the penalties that a run asks for must change what it does.

A few responses of the policy are given invented scores and a reference that differs from it by noise, since the real
one is the policy itself and any penalty between them is 0. Randomness, weights and optimizer of the run stay as they
are.

Axis letters: B rollouts, R tokens of a response, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mlproject.models.generation import sample
from mlproject.optimization.on_policy.actor import Actor
from mlproject.optimization.on_policy.config import CORRECTED_LOSS
from mlproject.optimization.on_policy.gradient_penalty import regularize_gradient
from mlproject.optimization.on_policy.objective import Objective, Reading, Rollouts
from mlproject.optimization.on_policy.penalty import Penalty, penalty_loss
from mlproject.optimization.on_policy.shards import OnPolicyTask, Shard
from mlproject.optimization.penalty_check import change_when_doubled, check_change

_NOISE = 0.3
"""Standard deviation of the invented log-ratio of a token, nats."""


def check_penalties(task: OnPolicyTask, actor: Actor, objective: Objective) -> None:
    """Check `kl_coef` and `gradient_penalty`, where they are above 0.

    Args:
        task: what is run; its generator is not used.
        actor: what is trained, in eval mode.
        objective: of the method.

    Raises:
        UserError: for a penalty that changes nothing.
    """
    config = task.config
    if not (config.kl_coef or config.gradient_penalty):
        return
    with torch.random.fork_rng(devices=[]):
        shard = _invented(task, actor, max(2, objective.group_size))
    for name in ("kl_coef", "gradient_penalty"):
        if coef := getattr(config, name):
            change = change_when_doubled(partial(_loss_and_gradient, task, actor, objective, shard, name), coef)
            check_change(change, name, coef, objective.name)


def _invented(task: OnPolicyTask, actor: Actor, count: int) -> Shard:
    device = task.generator.device
    generator = torch.Generator(device=device).manual_seed(0)
    with torch.no_grad():
        samples = sample(
            actor.policy,
            task.train_prompts.select(torch.zeros(count, dtype=torch.long, device=device)),
            max_new_tokens=task.prompt_format.max_response_tokens,
            generator=generator,
            value_of=actor.value_of,
        )
    log_probs_BR = samples.log_probs_BR
    noise_BR = _NOISE * torch.randn(log_probs_BR.shape, generator=generator, device=device)
    reference_BR = (log_probs_BR + noise_BR).masked_fill(~samples.sequences.response_mask_BR, 0.0)
    scores_B = torch.randn(count, generator=generator, device=device)
    return Shard(samples.sequences, log_probs_BR, reference_BR, samples.values_BR, scores_B)


def _loss_and_gradient(
    task: OnPolicyTask, actor: Actor, objective: Objective, shard: Shard, name: str, coef: float
) -> tuple[float, Sequence[Tensor]]:
    changed: dict[str, Any] = {name: coef}
    config = replace(task.config, **changed)
    penalty = Penalty(config, task.initial_policy)
    rollouts = penalty.into_loss(objective.rollouts(shard, penalty.rewards(shard)), shard)
    parameters = [p for p in actor.policy.parameters() if p.requires_grad]
    before = [p.grad for p in parameters]
    losses: list[float] = []

    def add_gradient() -> None:
        loss = _loss(actor, objective, rollouts, config.kl_estimator, config.kl_in == CORRECTED_LOSS)
        losses.append(float(loss.detach()))
        for p, added in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
            if added is not None:  # by hand, so that processes which share the policy wait for nothing
                p.grad = added if p.grad is None else p.grad + added

    for p in parameters:
        p.grad = None
    add_gradient()
    if config.gradient_penalty:
        regularize_gradient(actor.policy, add_gradient, config.gradient_penalty)
    gradient = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    for p, grad in zip(parameters, before, strict=True):
        p.grad = grad
    return losses[0], gradient


def _loss(actor: Actor, objective: Objective, rollouts: Rollouts, estimator: str, corrected: bool) -> Tensor:
    logits_BRV, values_BR = actor(rollouts.sequences)
    reading = Reading.of(logits_BRV, values_BR, rollouts)
    loss, _ = objective.loss(reading, rollouts)
    if rollouts.reference_BR is not None:
        loss = loss + penalty_loss(reading, rollouts, estimator, objective, corrected)
    return loss
