"""The rollouts of an update: responses of the policy to training prompts, scored by the proxy.

Axis letters: B rollouts, R tokens of a response.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mlproject.models.finite import naming_prompts
from mlproject.models.generation import sample
from mlproject.models.log_probs import log_probs_of
from mlproject.models.prompt_format import Responses
from mlproject.models.scorers import rated
from mlproject.names import Diagnostic
from mlproject.optimization.on_policy.actor import Actor
from mlproject.optimization.on_policy.gae import shaped_rewards
from mlproject.optimization.on_policy.objective import Objective, Rollouts
from mlproject.optimization.on_policy.shards import OnPolicyTask, Shard, gather_shards, shards_of_process


@torch.no_grad()
def collect_rollouts(task: OnPolicyTask, actor: Actor, objective: Objective) -> tuple[Rollouts, dict[str, float]]:
    """Sample responses to random training prompts and compute the targets of an update.

    Returns:
        the rollouts and diagnostics: mean proxy score and mean sampled log-ratio (k1, nats) of the batch.
    """
    config, generator = task.config, task.generator
    index = torch.randint(
        len(task.train_prompts), (config.ppo_batch_size,), generator=generator, device=generator.device
    )
    shards = [sample_shard(task, actor, part, source) for part, source in shards_of_process(task, index)]
    batch = gather_shards(task, shards)
    diagnostics = {Diagnostic.PROXY_ON_ROLLOUTS: float(batch.scores_B.mean())}
    if config.kl_coef > 0:
        diagnostics[Diagnostic.LOG_RATIO] = float(batch.log_ratio_BR.sum(1).mean())
    rewards_BR = shaped_rewards(batch.scores_B, batch.log_ratio_BR, batch.sequences.response_mask_BR, config.kl_coef)
    return objective.rollouts(batch, rewards_BR), diagnostics


@torch.no_grad()
def sample_shard(task: OnPolicyTask, actor: Actor, index: Tensor, generator: torch.Generator) -> Shard:
    """Sample a response to each of the given training prompts; compute scores, log-ratios and values."""
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
    scores_B = torch.from_numpy(rated(task.proxy, responses, "proxy")).to(samples.log_probs_BR.device)
    log_ratio_BR = torch.zeros_like(samples.log_probs_BR)
    if task.config.kl_coef > 0:
        log_ratio_BR = samples.log_probs_BR - log_probs_of(task.initial_policy, sequences)
    return Shard(sequences, samples.log_probs_BR, log_ratio_BR, samples.values_BR, scores_B)
