"""PPO against a proxy: per-token KL shaping, generalized advantages, clipping, a value head on the policy's trunk.

Follows Schulman et al. 2017 and, for language, Ziegler et al. 2019; the hyperparameters that Gao et al. 2022 print in
their Table 1 (clip 0.2, GAE 0.95, batch 256, KL coefficient 0) are the defaults of the presets.

Rollouts, scores and values are float32, since the objective compares probabilities of one policy at two moments.
`ppo_mixed_precision=bf16` computes the gradient passes in bfloat16 (docs/cluster.md quantifies the noise that it adds).

Several processes share the rollouts by shards, and every minibatch by rollouts. Each part of a minibatch is weighted by
its tokens, so that the sum is the gradient of the whole minibatch. All processes hold the same policy and draw the same
permutations; only the main process measures curve points.

Axis letters: B rollouts, R tokens of a response, V vocabulary, T tokens of a sequence, H hidden width.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mlproject.curve import CurvePoint
from mlproject.errors import located
from mlproject.models.collectives import all_reduce, broadcast
from mlproject.models.finite import naming_prompts
from mlproject.models.generation import sample
from mlproject.models.gradient_checkpointing import checkpointed_layers
from mlproject.models.log_probs import log_probs_of
from mlproject.models.lora import add_adapters
from mlproject.models.prompt_format import Responses
from mlproject.models.response_logits import read_responses
from mlproject.models.scorers import rated
from mlproject.models.sequences import Sequences
from mlproject.names import Diagnostic
from mlproject.optimization.gae import generalized_advantages, masked_mean, shaped_rewards, whiten
from mlproject.optimization.rollout_shards import PPOTask, Shard, gather_shards, shards_of_process
from mlproject.resume.state import (
    State,
    generator_state,
    load_generator,
    load_module,
    load_optimizer,
    merge,
    module_state,
    optimizer_state,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MAX_GRADIENT_NORM = 1.0
_LENGTH_GROUPS = 2
"""Parts of similar response length into which a minibatch is divided: the same gradient with less padding."""


class ActorCritic(nn.Module):
    """A policy with a value head on its last hidden states.

    The head sends no gradients into the trunk: only the proxy moves the policy, and the head can learn twenty times
    faster without moving it.
    """

    def __init__(self, policy: PreTrainedModel) -> None:
        super().__init__()
        self.policy = policy
        output = policy.get_output_embeddings()
        width = policy.config.get_text_config().hidden_size if output is None else output.weight.shape[1]
        last = nn.Linear(64, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.value_head = nn.Sequential(nn.Linear(width, 64), nn.Tanh(), last)

    def forward(self, sequences: Sequences) -> tuple[Tensor, Tensor]:
        """Logits that predict each response token, and the value before it. Shapes: (B, R, V), (B, R)."""
        hidden_BRH, logits_BRV = read_responses(self.policy, sequences)
        return logits_BRV.float(), self.value_of(hidden_BRH)

    def value_of(self, hidden: Tensor) -> Tensor:
        """The value before each token, from the last hidden states that predict it; (..., H) -> (...)."""
        return self.value_head(hidden.detach().float()).squeeze(-1)


@dataclass(frozen=True)
class Rollouts:
    """Responses of the policy and the targets of an update.

    Attributes:
        sequences: B responses.
        log_probs_BR: log-probability of each token when it was sampled, nats. Shape: (B, R).
        advantages_BR: normalized to mean 0 and variance 1. Shape: (B, R).
        returns_BR: targets of the value head. Shape: (B, R).
    """

    sequences: Sequences
    log_probs_BR: Tensor
    advantages_BR: Tensor
    returns_BR: Tensor

    def select(self, index: Tensor) -> Rollouts:
        sequences = self.sequences.select(index)
        width = int(sequences.response_lengths_B.max())
        return Rollouts(
            sequences, *(x[index, :width] for x in (self.log_probs_BR, self.advantages_BR, self.returns_BR))
        )


def optimize(task: PPOTask) -> Iterator[CurvePoint]:
    """Yield step 0, a point after each of the first `ppo_eval_first` updates, then one every `ppo_eval_every` updates.

    The first updates are measured one by one because the peak of a weak proxy is among them.
    """
    config, accelerator = task.config, task.accelerator
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=task.generator, device=task.generator.device)))
        actor_critic = ActorCritic(copy.deepcopy(task.start_policy))
        if config.lora_rank:
            add_adapters(actor_critic.policy, config.lora_rank)
        actor_critic.to(accelerator.device)
    optimizer = torch.optim.Adam(
        [
            {"params": [p for p in actor_critic.policy.parameters() if p.requires_grad], "lr": config.ppo_lr},
            {"params": actor_critic.value_head.parameters(), "lr": config.ppo_value_lr},
        ],
        eps=1e-5,
        fused=True,
    )
    prepared, optimizer = accelerator.prepare(actor_critic, optimizer)
    policy = actor_critic.policy.eval()

    def evaluate(step: int, diagnostics: Mapping[str, float] | None = None) -> CurvePoint:
        return broadcast(accelerator, lambda: task.evaluator.evaluate_policy(policy, step, diagnostics))

    taken = 0

    def state() -> State:
        parts = {"model": module_state(actor_critic), "optimizer": optimizer_state(optimizer)}
        return merge({**parts, "random": generator_state(task.generator), "taken": State(values={"updates": taken})})

    if (saved := task.resumption.restored("ppo", accelerator)) is None:
        yield evaluate(0)
    else:
        load_module(actor_critic, saved.within("model"))
        load_optimizer(optimizer, saved.within("optimizer"))
        load_generator(task.generator, saved.within("random"))
        taken = saved.values["taken"]["updates"]
    task.resumption.keep("ppo", state)
    updates, every = config.ppo_updates, config.ppo_eval_every
    for update in range(taken + 1, updates + 1):
        task.resumption.safe_point(accelerator)
        with located(f"in update {update}"):
            rollouts, rollout_diagnostics = collect_rollouts(task, actor_critic)
        update_diagnostics = update_policy(task, prepared, optimizer, rollouts)
        task.progress(update / updates)
        if update <= config.ppo_eval_first or update % every == 0 or update == updates:
            yield evaluate(update, {**rollout_diagnostics, **update_diagnostics})
        taken = update


@torch.no_grad()
def collect_rollouts(task: PPOTask, actor_critic: ActorCritic) -> tuple[Rollouts, dict[str, float]]:
    """Sample responses to random training prompts and compute their advantages.

    Returns:
        the rollouts and diagnostics: mean proxy score and mean sampled log-ratio (k1, nats) of the batch.
    """
    config, generator = task.config, task.generator
    index = torch.randint(
        len(task.train_prompts), (config.ppo_batch_size,), generator=generator, device=generator.device
    )
    shards = [sample_shard(task, actor_critic, part, source) for part, source in shards_of_process(task, index)]
    batch = gather_shards(task, shards)
    mask_BR = batch.sequences.response_mask_BR
    diagnostics = {Diagnostic.PROXY_ON_ROLLOUTS: float(batch.scores_B.mean())}
    if config.kl_coef > 0:
        diagnostics[Diagnostic.LOG_RATIO] = float(batch.log_ratio_BR.sum(1).mean())
    rewards_BR = shaped_rewards(batch.scores_B, batch.log_ratio_BR, mask_BR, config.kl_coef)
    advantages_BR = generalized_advantages(rewards_BR, batch.values_BR, mask_BR, config.ppo_gae_lambda)
    returns_BR = advantages_BR + batch.values_BR
    return Rollouts(batch.sequences, batch.log_probs_BR, whiten(advantages_BR, mask_BR), returns_BR), diagnostics


@torch.no_grad()
def sample_shard(task: PPOTask, actor_critic: ActorCritic, index: Tensor, generator: torch.Generator) -> Shard:
    """Sample a response to each of the given training prompts; compute scores, log-ratios and values."""
    texts = [task.train_texts[i] for i in index.tolist()]
    with naming_prompts(texts):
        samples = sample(
            actor_critic.policy,
            task.train_prompts.select(index),
            max_new_tokens=task.prompt_format.max_response_tokens,
            generator=generator,
            value_of=actor_critic.value_of,
        )
    sequences = samples.sequences
    responses = Responses(texts, sequences.to("cpu"), task.prompt_format)
    scores_B = torch.from_numpy(rated(task.proxy, responses, "proxy")).to(samples.log_probs_BR.device)
    log_ratio_BR = torch.zeros_like(samples.log_probs_BR)
    if task.config.kl_coef > 0:
        log_ratio_BR = samples.log_probs_BR - log_probs_of(task.initial_policy, sequences)
    return Shard(sequences, samples.log_probs_BR, log_ratio_BR, samples.values_BR, scores_B)


def update_policy(
    task: PPOTask, actor_critic: nn.Module, optimizer: torch.optim.Optimizer, rollouts: Rollouts
) -> dict[str, float]:
    """Take the gradient steps of an update; of every minibatch, a process takes its share of the rollouts.

    Returns:
        diagnostics of the last pass: clip fraction, approximate KL from the rollout policy (nats per token), entropy
        (nats per token), value loss.
    """
    config, generator, accelerator = task.config, task.generator, task.accelerator
    rank, processes = accelerator.process_index, accelerator.num_processes
    in_bf16 = config.ppo_mixed_precision == "bf16"
    size = len(rollouts.sequences)
    weighted_diagnostics: list[Mapping[str, Tensor]] = []
    for _ in range(config.ppo_epochs):
        weighted_diagnostics.clear()
        order = torch.randperm(size, generator=generator, device=generator.device)
        for index in order.tensor_split(config.ppo_minibatches):
            tokens = rollouts.sequences.response_lengths_B[index].sum()
            by_length = index[rollouts.sequences.ends_B[index].argsort()]
            parts = by_length[rank::processes].chunk(_LENGTH_GROUPS * task.memory.accumulation)
            with checkpointed_layers(actor_critic, task.memory.recomputes_layers):
                for i, part in enumerate(parts):
                    minibatch = rollouts.select(part)
                    share = minibatch.sequences.response_lengths_B.sum() / tokens
                    with accelerator.no_sync(actor_critic) if i < len(parts) - 1 else nullcontext():
                        with torch.autocast(generator.device.type, torch.bfloat16, enabled=in_bf16):
                            logits_BRV, values_BR = actor_critic(minibatch.sequences)
                        loss, diagnostics = ppo_loss(logits_BRV, values_BR, minibatch, config.ppo_clip)
                        accelerator.backward(loss * (share * processes))  # gradients are averaged over processes
                    weighted_diagnostics.append({name: value * share for name, value in diagnostics.items()})
            accelerator.unscale_gradients(optimizer)
            for group in optimizer.param_groups:  # apart, so that a large value error does not slow the policy
                nn.utils.clip_grad_norm_(group["params"], _MAX_GRADIENT_NORM)
            optimizer.step()
            optimizer.zero_grad()
    names = list(weighted_diagnostics[0])
    summed = torch.stack([torch.stack([part[name] for part in weighted_diagnostics]).sum() for name in names])
    totals = all_reduce(accelerator, summed).tolist()
    return {name: total / config.ppo_minibatches for name, total in zip(names, totals, strict=True)}


def ppo_loss(
    logits_BRV: Tensor, values_BR: Tensor, rollouts: Rollouts, clip: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Clipped surrogate (Schulman et al. 2017, equation 7) plus the squared error of the value head.

    Args:
        logits_BRV: of the policy being trained. Shape: (B, R, V).
        values_BR: of the value head. Shape: (B, R).
        rollouts: responses of the rollout policy. Length B.
        clip: distance from 1 beyond which the probability ratio gains nothing.

    Returns:
        the loss to minimize, and its diagnostics (detached scalars).
    """
    mask_BR = rollouts.sequences.response_mask_BR
    log_p_BRV = logits_BRV.log_softmax(-1)
    log_probs_BR = log_p_BRV.gather(-1, rollouts.sequences.response_ids_BR[..., None]).squeeze(-1)
    log_ratio_BR = (log_probs_BR - rollouts.log_probs_BR).masked_fill(~mask_BR, 0.0)
    ratio_BR = log_ratio_BR.exp()
    clipped_BR = ratio_BR.clamp(1 - clip, 1 + clip)
    gain_BR = torch.minimum(ratio_BR * rollouts.advantages_BR, clipped_BR * rollouts.advantages_BR)
    value_loss = 0.5 * masked_mean((values_BR - rollouts.returns_BR) ** 2, mask_BR)
    with torch.no_grad():
        p_log_p_BRV = (log_p_BRV.exp() * log_p_BRV).masked_fill(log_p_BRV == -math.inf, 0.0)  # of an excluded token
        diagnostics = {
            Diagnostic.CLIP_FRACTION: masked_mean((ratio_BR != clipped_BR).float(), mask_BR),
            Diagnostic.APPROX_KL: masked_mean(ratio_BR - 1 - log_ratio_BR, mask_BR),
            Diagnostic.ENTROPY: masked_mean(-p_log_p_BRV.sum(-1), mask_BR),
            Diagnostic.VALUE_LOSS: value_loss.detach(),
        }
    return value_loss - masked_mean(gain_BR, mask_BR), diagnostics
