"""The loop that on-policy methods share: rollouts, gradient steps, curve points, and a state to resume from.

Rollouts, scores and values are float32, since an objective compares probabilities of one policy at two moments.
`ppo_mixed_precision=bf16` computes the gradient passes in bfloat16 (docs/cluster.md quantifies the noise that it adds).

Several processes share the rollouts by shards, and every minibatch by rollouts. All processes hold the same policy and
draw the same permutations; only the main process measures curve points.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence

import torch

from mlproject.curve import CurvePoint
from mlproject.errors import located
from mlproject.models.collectives import broadcast
from mlproject.models.lora import add_adapters
from mlproject.models.scorers import Scorer
from mlproject.optimization.on_policy.constraint import Constraint
from mlproject.optimization.on_policy.idle_penalty import check_penalties
from mlproject.optimization.on_policy.objective import Objective
from mlproject.optimization.on_policy.penalty import Penalty
from mlproject.optimization.on_policy.rollouts import collect_rollouts
from mlproject.optimization.on_policy.shards import OnPolicyTask
from mlproject.optimization.on_policy.update import update_policy
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


def train(task: OnPolicyTask, objective: Objective) -> Iterator[CurvePoint]:
    """Yield step 0, a point after each of the first `ppo_eval_first` updates, then one every `ppo_eval_every` updates.

    The first updates are measured one by one because the peak of a weak proxy is among them.
    """
    config, accelerator = task.config, task.accelerator
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=task.generator, device=task.generator.device)))
        actor = objective.new_actor(copy.deepcopy(task.start_policy))
        if config.lora_rank:
            add_adapters(actor.policy, config.lora_rank)
        actor.to(accelerator.device)
    optimizer = torch.optim.Adam(actor.parameter_groups(config.ppo_lr), eps=1e-5, fused=True)
    prepared, optimizer = accelerator.prepare(actor, optimizer)
    policy = actor.policy.eval()
    penalty = Penalty(config, task.initial_policy, task.peak)

    def start_of(scorers: Sequence[Scorer]) -> list[float]:
        named = {f"proxy (term {number})": scorer for number, scorer in enumerate(scorers, 1)}
        baselines = broadcast(accelerator, lambda: task.evaluator.baselines_P(named))
        return [float(baseline_P.mean()) for baseline_P in baselines.values()]

    constraint = Constraint(config, task.proxy, task.peak, start_of)

    def evaluate(step: int, diagnostics: Mapping[str, float] | None = None) -> CurvePoint:
        return broadcast(accelerator, lambda: task.evaluator.evaluate_policy(policy, step, diagnostics))

    taken = 0

    def state() -> State:
        parts = {"model": module_state(actor), "optimizer": optimizer_state(optimizer)}
        return merge(
            {
                **parts,
                "random": generator_state(task.generator),
                "taken": State(values={"updates": taken}),
                **penalty.states(),
                **constraint.states(),
            }
        )

    if (saved := task.resumption.restored(objective.name, accelerator)) is None:
        check_penalties(task, actor, objective)
        yield evaluate(0)
    else:
        load_module(actor, saved.within("model"))
        load_optimizer(optimizer, saved.within("optimizer"))
        load_generator(task.generator, saved.within("random"))
        taken = saved.values["taken"]["updates"]
        penalty.restore(saved, policy)
        constraint.restore(saved)
    task.resumption.keep(objective.name, state)
    updates, every = config.ppo_updates, config.ppo_eval_every
    for update in range(taken + 1, updates + 1):
        task.resumption.safe_point(accelerator)
        with located(f"in update {update}"):
            rollouts, rollout_diagnostics = collect_rollouts(task, actor, objective, penalty, constraint)
        update_diagnostics = update_policy(task, prepared, optimizer, rollouts, objective)
        if config.reference_reset and update % config.reference_reset == 0:
            penalty.reset(policy)
        task.progress(update / updates)
        if update <= config.ppo_eval_first or update % every == 0 or update == updates:
            yield evaluate(update, {**rollout_diagnostics, **update_diagnostics})
        taken = update
