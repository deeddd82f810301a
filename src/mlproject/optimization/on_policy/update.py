"""The gradient steps of an update, over minibatches that several processes share.

Each part of a minibatch is weighted by its tokens (or responses), so that the sum is the gradient of the whole.

Axis letters: B rollouts, R tokens of a response, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from mlproject.models.collectives import all_reduce
from mlproject.models.gradient_checkpointing import checkpointed_layers
from mlproject.optimization.on_policy.config import CORRECTED_LOSS
from mlproject.optimization.on_policy.gradient_penalty import regularize_gradient
from mlproject.optimization.on_policy.objective import Objective, Reading, Rollouts
from mlproject.optimization.on_policy.penalty import penalty_loss
from mlproject.optimization.on_policy.shards import OnPolicyTask

_MAX_GRADIENT_NORM = 1.0
_LENGTH_GROUPS = 2
"""Parts of similar response length into which a minibatch is divided: the same gradient with less padding."""


def update_policy(
    task: OnPolicyTask, actor: nn.Module, optimizer: torch.optim.Optimizer, rollouts: Rollouts, objective: Objective
) -> dict[str, float]:
    """Take the gradient steps of an update; of every minibatch, a process takes its share of the rollouts.

    Returns:
        diagnostics of the last pass, means over its tokens.
    """
    config, generator = task.config, task.generator
    size = len(rollouts.sequences)
    minibatches = min(config.ppo_minibatches, size)
    weighted_diagnostics: list[Mapping[str, Tensor]] = []
    for _ in range(config.ppo_epochs):
        weighted_diagnostics.clear()
        order = torch.randperm(size, generator=generator, device=generator.device)
        for index in order.tensor_split(minibatches):
            weighted_diagnostics += add_gradient(task, actor, rollouts, index, objective)
            task.accelerator.unscale_gradients(optimizer)
            if config.gradient_penalty:
                policy = task.accelerator.unwrap_model(actor).policy
                again = partial(add_gradient, task, actor, rollouts, index, objective)
                regularize_gradient(policy, again, config.gradient_penalty)
            for group in optimizer.param_groups:  # apart, so that a large value error does not slow the policy
                nn.utils.clip_grad_norm_(group["params"], _MAX_GRADIENT_NORM)
            optimizer.step()
            optimizer.zero_grad()
    names = list(weighted_diagnostics[0])
    summed = torch.stack([torch.stack([part[name] for part in weighted_diagnostics]).sum() for name in names])
    totals = all_reduce(task.accelerator, summed).tolist()
    return {name: total / minibatches for name, total in zip(names, totals, strict=True)}


def add_gradient(
    task: OnPolicyTask, actor: nn.Module, rollouts: Rollouts, index: Tensor, objective: Objective
) -> list[Mapping[str, Tensor]]:
    """Add the gradient of a minibatch to that of the actor, part by part.

    Args:
        task: its processes share the minibatch.
        actor: as `Accelerator.prepare` returns it.
        rollouts: all of the update.
        index: of those in the minibatch. Shape: (B,).
        objective: whose loss it is.

    Returns:
        diagnostics of each part of this process, weighted so that their sum over parts and processes is the mean over
        the minibatch's tokens.
    """
    config, accelerator = task.config, task.accelerator
    rank, processes = accelerator.process_index, accelerator.num_processes
    in_bf16 = config.ppo_mixed_precision == "bf16"
    weighted: list[Mapping[str, Tensor]] = []
    tokens = rollouts.sequences.response_lengths_B[index].sum()
    by_length = index[rollouts.sequences.ends_B[index].argsort()]
    parts = by_length[rank::processes].chunk(_LENGTH_GROUPS * task.memory.accumulation)
    with checkpointed_layers(actor, task.memory.recomputes_layers):
        for i, part in enumerate(parts):
            minibatch = rollouts.select(part)
            share = minibatch.sequences.response_lengths_B.sum() / tokens
            weight = len(part) / len(index) if objective.averages_responses else share
            with accelerator.no_sync(actor) if i < len(parts) - 1 else nullcontext():
                with torch.autocast(task.generator.device.type, torch.bfloat16, enabled=in_bf16):
                    logits_BRV, values_BR = actor(minibatch.sequences)
                reading = Reading.of(logits_BRV, values_BR, minibatch)
                loss, diagnostics = objective.loss(reading, minibatch)
                if minibatch.reference_BR is not None:
                    loss = loss + penalty_loss(
                        reading, minibatch, config.kl_estimator, objective, corrected=config.kl_in == CORRECTED_LOSS
                    )
                accelerator.backward(loss * (weight * processes))  # gradients are averaged over processes
            weighted.append({name: value * share for name, value in diagnostics.items()})
    return weighted
