"""The rollouts of an update: responses of the policy to training prompts, scored by the proxy.

Axis letters: B rollouts, R tokens of a response, K ensemble members.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mlproject.cures.scorers import EnsembleScorer
from mlproject.models.finite import naming_prompts
from mlproject.models.generation import sample
from mlproject.models.prompt_format import Responses
from mlproject.models.scorers import rated
from mlproject.names import Diagnostic
from mlproject.optimization.on_policy.actor import Actor
from mlproject.optimization.on_policy.config import MEMBERS, OFF
from mlproject.optimization.on_policy.constraint import Constraint
from mlproject.optimization.on_policy.objective import Objective, Rollouts
from mlproject.optimization.on_policy.penalty import Penalty
from mlproject.optimization.on_policy.shards import OnPolicyTask, Shard, gather_shards, shards_of_process
from mlproject.optimization.peak_forecast import PeakForecast


@torch.no_grad()
def collect_rollouts(
    task: OnPolicyTask, actor: Actor, objective: Objective, penalty: Penalty, constraint: Constraint | None = None
) -> tuple[Rollouts, dict[str, float]]:
    """Sample responses to random training prompts and compute the targets of an update.

    Returns:
        the rollouts and diagnostics: mean proxy score and what the penalty says of the batch.
    """
    generator, batch_size = task.generator, task.config.ppo_batch_size
    constraint = constraint or Constraint(task.config, task.proxy, PeakForecast())
    size, device = objective.group_size, generator.device
    drawn = torch.randint(len(task.train_prompts), (batch_size // size,), generator=generator, device=device)
    index = drawn.repeat_interleave(size)
    shards = [sample_shard(task, actor, part, source, penalty) for part, source in shards_of_process(task, index)]
    batch = gather_shards(task, shards)
    diagnostics = {Diagnostic.PROXY_ON_ROLLOUTS: float(batch.scores_B.mean())}
    rollouts = objective.rollouts(batch, penalty.rewards(constraint.into_scores(batch)))
    rollouts = penalty.into_loss(constraint.into_advantages(rollouts), batch)
    return rollouts, diagnostics | penalty.observe(batch) | constraint.observe(batch)


@torch.no_grad()
def sample_shard(
    task: OnPolicyTask, actor: Actor, index: Tensor, generator: torch.Generator, penalty: Penalty
) -> Shard:
    """Sample a response to each of the given training prompts; compute scores, values and the reference's part."""
    texts = [task.train_texts[i] for i in index.tolist()]
    with naming_prompts(texts):
        samples = sample(
            actor.policy,
            task.train_prompts.select(index),
            max_new_tokens=task.prompt_format.max_response_tokens,
            generator=generator,
            value_of=actor.value_of,
        )
    sequences = samples.sequences
    responses = Responses(texts, sequences.to("cpu"), task.prompt_format)
    scores_B, terms_BK = _scores(task, responses, samples.log_probs_BR.device)
    reference_BR = penalty.reference_log_probs(sequences, samples.log_probs_BR)
    return Shard(sequences, samples.log_probs_BR, reference_BR, samples.values_BR, scores_B, terms_BK)


def _scores(task: OnPolicyTask, responses: Responses, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Proxy scores, and those of each member where these are terms of their own. Shapes: (B,), (B, K)."""
    if task.config.reward_threshold == OFF or task.config.reward_terms != MEMBERS:
        return torch.from_numpy(rated(task.proxy, responses, "proxy")).to(device), None
    assert isinstance(task.proxy, EnsembleScorer)  # its constraint was made of it
    scores_KB = np.stack([rated(member, responses, "proxy") for member in task.proxy.members])
    terms_BK = torch.from_numpy(scores_KB.T.copy()).to(device)
    return torch.from_numpy(task.proxy.combined(scores_KB)).to(device), terms_BK
