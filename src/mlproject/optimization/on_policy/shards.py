"""Rollouts sampled in shards: the same rollouts whether one process samples them all or several share them.

Every shard has its own generator, seeded from the task's, and is sampled and scored by itself. Process r of n samples
shards r, r + n, ...; then all processes hold all rollouts. Without shards, the task's generator samples them.

Axis letters: B rollouts, R tokens of a response, K ensemble members.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from mlproject.models.collectives import all_gather
from mlproject.models.sequences import Sequences, concatenate
from mlproject.optimization.on_policy.config import OnPolicyConfig
from mlproject.optimization.task import OptimizationTask

OnPolicyTask = OptimizationTask[OnPolicyConfig]


@dataclass(frozen=True)
class Shard:
    """Some of an update's rollouts, before advantages are normalized over all of them.

    Attributes:
        sequences: B responses.
        log_probs_BR: of each token when it was sampled, nats. Shape: (B, R).
        reference_BR: of each token under the reference of the penalty, nats; 0 without a penalty. Shape: (B, R).
        values_BR: prediction of the value head at each token. Shape: (B, R).
        scores_B: proxy scores, gold standard deviations. Shape: (B,).
        terms_BK: those of each member, where each is a term of its own. Shape: (B, K).
    """

    sequences: Sequences
    log_probs_BR: Tensor
    reference_BR: Tensor
    values_BR: Tensor
    scores_B: Tensor
    terms_BK: Tensor | None = None

    def to(self, device: torch.device | str) -> Shard:
        names = ("log_probs_BR", "reference_BR", "values_BR", "scores_B", "terms_BK")
        tensors = {name: each.to(device) for name in names if (each := getattr(self, name)) is not None}
        return replace(self, sequences=self.sequences.to(device), **tensors)


def shards_of_process(task: OnPolicyTask, index_B: Tensor) -> Iterator[tuple[Tensor, torch.Generator]]:
    """Prompts and generator of each shard that this process samples.

    Args:
        task: its option `ppo_rollout_batch` is the size of a shard; its generator advances alike in all processes.
        index_B: prompts of the whole batch. Shape: (B,).
    """
    size, accelerator = task.config.ppo_rollout_batch, task.accelerator
    if not size:
        yield index_B, task.generator
        return
    shards = index_B.split(size)
    device = task.generator.device
    seeds = torch.randint(2**62, (len(shards),), generator=task.generator, device=device).tolist()
    every_nth = slice(accelerator.process_index, None, accelerator.num_processes)
    for shard, seed in zip(shards[every_nth], seeds[every_nth], strict=True):
        yield shard, torch.Generator(device=device).manual_seed(seed)


def gather_shards(task: OnPolicyTask, shards: Sequence[Shard]) -> Shard:
    """The rollouts of all shards of all processes as one, in the order of the shards."""
    device = task.accelerator.device
    if task.accelerator.num_processes > 1:
        shards = [shard.to(device) for shard in all_gather(task.accelerator, [shard.to("cpu") for shard in shards])]
    if len(shards) == 1:
        return shards[0]
    width = max(shard.log_probs_BR.shape[1] for shard in shards)

    def stacked(name: str) -> Tensor:
        return torch.cat([pad(getattr(s, name), (0, width - getattr(s, name).shape[1])) for s in shards])

    return Shard(
        sequences=concatenate([shard.sequences for shard in shards], task.initial_policy.config.pad_token_id),
        log_probs_BR=stacked("log_probs_BR"),
        reference_BR=stacked("reference_BR"),
        values_BR=stacked("values_BR"),
        scores_B=torch.cat([shard.scores_B for shard in shards]),
        terms_BK=torch.cat(terms) if (terms := [s.terms_BK for s in shards if s.terms_BK is not None]) else None,
    )
