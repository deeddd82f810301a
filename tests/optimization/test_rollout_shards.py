"""Rollouts and minibatches shared between processes: the same rollouts, and the gradient of one process."""

from __future__ import annotations

import copy
from contextlib import nullcontext
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
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel
from mlproject.optimization.on_policy import ppo, shards, update
from mlproject.optimization.on_policy.actor import ActorCritic
from mlproject.optimization.on_policy.grpo import GRPO, GRPOConfig
from mlproject.optimization.on_policy.objective import Reading, Rollouts
from mlproject.optimization.on_policy.penalty import Penalty, penalty_loss
from mlproject.optimization.on_policy.ppo_config import PPOConfig
from mlproject.optimization.on_policy.rloo import RLOO, RLOOConfig
from mlproject.optimization.on_policy.rollouts import collect_rollouts as collect
from mlproject.optimization.peak_forecast import PeakForecast
from mlproject.resume.resumption import Resumption

SMOKE = load_config("smoke", {}).of(PPOConfig)
OPTIONS = {"ppo_batch_size": 22, "kl_coef": 0.1, "ppo_gae_lambda": 0.9, "ppo_epochs": 1, "ppo_clip": 0.2}


def one_of(rank: int = 0, processes: int = 1) -> Any:
    """An accelerator that is one of several processes, without the others."""
    return SimpleNamespace(
        process_index=rank,
        num_processes=processes,
        device=torch.device("cpu"),
        no_sync=lambda model: nullcontext(),
        backward=lambda loss: loss.backward(),
        unscale_gradients=lambda optimizer: None,
    )


@pytest.fixture
def actor_critic(tiny_policy) -> ActorCritic:
    module = ActorCritic(tiny_policy(seed=2, eos=2.0))
    torch.nn.init.normal_(module.value_head[-1].weight, generator=torch.Generator().manual_seed(0))
    return module


@pytest.fixture
def task_of(tiny_policy, tiny_reward_model, tiny_tokenizer):
    def build(
        accelerator: Any, accumulation: int = 1, gradient_checkpointing: str = "no", **options: Any
    ) -> SimpleNamespace:
        prompt_format, texts = (
            PromptFormat(tiny_tokenizer, max_response_tokens=6),
            ["yes", "no no yes maybe no", "maybe no"],
        )
        return SimpleNamespace(
            config=replace(SMOKE, **(OPTIONS | options)),
            memory=MemoryOptions(accumulation=accumulation, gradient_checkpointing=gradient_checkpointing),
            accelerator=accelerator,
            resumption=Resumption(),
            generator=torch.Generator().manual_seed(5),
            prompt_format=prompt_format,
            train_texts=texts,
            train_prompts=prompt_format.encode_prompts(texts),
            initial_policy=tiny_policy(seed=3),
            proxy=RewardModel(tiny_reward_model(1)),
            peak=PeakForecast(),
        )

    return build


def collect_rollouts(task: SimpleNamespace, actor: ActorCritic) -> tuple[Rollouts, dict[str, float]]:
    return collect(task, actor, ppo.PPO(task.config), Penalty(task.config, task.initial_policy))


def update_policy(task: SimpleNamespace, actor: ActorCritic, optimizer: Any, rollouts: Rollouts) -> None:
    update.update_policy(task, actor, optimizer, rollouts, ppo.PPO(task.config))


def tensors(rollouts: Rollouts) -> list[Tensor]:
    sequences = rollouts.sequences
    return [sequences.ids_BT, sequences.ends_B, rollouts.log_probs_BR, rollouts.advantages_BR, rollouts.returns_BR]


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("size", [4, 7])
def test_several_processes_hold_the_rollouts_that_one_process_samples(
    processes: int, size: int, task_of, actor_critic, monkeypatch
) -> None:
    alone, diagnostics = collect_rollouts(task_of(one_of(), ppo_rollout_batch=size), actor_critic)
    shards_of_rank: dict[int, list] = {}
    for rank in range(processes):  # first each process samples its shards, ...
        monkeypatch.setattr(shards, "all_gather", lambda each, own: shards_of_rank.setdefault(each.process_index, own))
        collect_rollouts(task_of(one_of(rank, processes), ppo_rollout_batch=size), actor_critic)
    assert sum(map(len, shards_of_rank.values())) == -(-22 // size)
    assert max(map(len, shards_of_rank.values())) - min(map(len, shards_of_rank.values())) <= 1
    in_order = [shards_of_rank[i % processes][i // processes] for i in range(-(-22 // size))]
    monkeypatch.setattr(shards, "all_gather", lambda each, own: in_order)
    for rank in range(processes):  # ... then all gather all shards
        task = task_of(one_of(rank, processes), ppo_rollout_batch=size)
        together, diagnostics_together = collect_rollouts(task, actor_critic)
        assert diagnostics_together == diagnostics
        for shared, single in zip(tensors(together), tensors(alone), strict=True):
            assert torch.equal(shared, single)
        assert torch.equal(task.generator.get_state(), advanced(task_of, size))


def advanced(task_of, size: int) -> Tensor:
    """State of the generator after the rollouts of one update: it draws prompts and seeds, and no token."""
    generator = task_of(one_of()).generator
    torch.randint(3, (22,), generator=generator)
    torch.randint(2**62, (-(-22 // size),), generator=generator)
    return generator.get_state()


def test_without_shards_the_generator_of_the_task_draws_every_token(task_of, actor_critic) -> None:
    rollouts, _ = collect_rollouts(task_of(Accelerator(cpu=True)), actor_critic)
    task = task_of(one_of())
    index_B = torch.randint(3, (22,), generator=task.generator)
    prompts = task.train_prompts.select(index_B)
    drawn = sample(actor_critic.policy, prompts, max_new_tokens=6, generator=task.generator)
    assert torch.equal(rollouts.sequences.ids_BT, drawn.sequences.ids_BT)
    assert torch.equal(rollouts.log_probs_BR, drawn.log_probs_BR)


def test_shards_are_different_samples(task_of, actor_critic) -> None:
    task = task_of(one_of(), ppo_rollout_batch=11)
    task.train_prompts = task.train_prompts.select(torch.tensor([1]))  # the same prompt throughout
    rollouts, _ = collect_rollouts(task, actor_critic)
    first, second = rollouts.sequences.select(slice(0, 11)), rollouts.sequences.select(slice(11, 22))
    assert first.ends_B.tolist() != second.ends_B.tolist()


class Recorder:
    """An optimizer that takes no step and records gradients."""

    def __init__(self, actor_critic: ActorCritic) -> None:
        self.param_groups = [{"params": list(actor_critic.parameters())}]
        self.steps: list[list[Tensor]] = []

    def step(self) -> None:
        self.steps.append([p.grad.clone() for p in self.param_groups[0]["params"]])

    def zero_grad(self) -> None:
        for p in self.param_groups[0]["params"]:
            p.grad = None


@pytest.mark.parametrize("memory", [{}, {"accumulation": 3}, {"gradient_checkpointing": "yes"}], ids=str)
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_mean_over_processes_is_the_gradient_of_each_whole_minibatch(
    processes: int, memory: dict, task_of, actor_critic, monkeypatch
) -> None:
    monkeypatch.setattr(update.nn.utils, "clip_grad_norm_", lambda parameters, norm: None)
    sums: list[Tensor] = []
    monkeypatch.setattr(update, "all_reduce", lambda each, values: sums.append(values) or values)
    rollouts, _ = collect_rollouts(task_of(one_of(), ppo_rollout_batch=4), actor_critic)
    noise_BR = 0.1 * torch.randn(rollouts.log_probs_BR.shape, generator=torch.Generator().manual_seed(1))
    rollouts = Rollouts(
        rollouts.sequences, rollouts.log_probs_BR + noise_BR, rollouts.advantages_BR, rollouts.returns_BR
    )
    recorders = []
    for rank in range(processes):
        replica = copy.deepcopy(actor_critic)
        recorders.append(Recorder(replica))
        update_policy(task_of(one_of(rank, processes), ppo_minibatches=2, **memory), replica, recorders[-1], rollouts)
    order = torch.randperm(22, generator=torch.Generator().manual_seed(5))
    expected_sums = []
    for step, index in enumerate(order.tensor_split(2)):
        logits_BRV, values_BR = actor_critic(rollouts.select(index).sequences)
        reading = Reading.of(logits_BRV, values_BR, rollouts.select(index))
        loss, diagnostics = ppo.PPO(replace(SMOKE, **OPTIONS)).loss(reading, rollouts.select(index))
        expected_sums.append(torch.stack(list(diagnostics.values())))
        expected = torch.autograd.grad(loss, list(actor_critic.parameters()))
        means = [torch.stack(each).mean(0) for each in zip(*(r.steps[step] for r in recorders), strict=True)]
        assert max(float(g.abs().max()) for g in expected) > 1e-2
        for a, b in zip(means, expected, strict=True):
            torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-4)
    torch.testing.assert_close(torch.stack(sums).sum(0), torch.stack(expected_sums).sum(0), atol=1e-5, rtol=1e-4)


OTHERS: dict[str, Any] = {
    "grpo, mean over responses, k3 in the loss": lambda **options: GRPO(
        replace(load_config("smoke", {}).of(GRPOConfig), grpo_group_size=4, grpo_loss="response", **options)
    ),
    "grpo, sqrt-chi2 in the loss": lambda **options: GRPO(
        replace(load_config("smoke", {}).of(GRPOConfig), **options | {"kl_estimator": "sqrt-chi2"})
    ),
    "rloo, k3 in the loss": lambda **options: RLOO(replace(load_config("smoke", {}).of(RLOOConfig), **options)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_processes_share_the_minibatches_of_every_objective_and_of_a_penalty_in_the_loss(
    name: str, task_of, tiny_policy, monkeypatch
) -> None:
    monkeypatch.setattr(update.nn.utils, "clip_grad_norm_", lambda parameters, norm: None)
    monkeypatch.setattr(update, "all_reduce", lambda each, values: values)
    options = {"ppo_batch_size": 24, "ppo_epochs": 1, "ppo_minibatches": 1, "kl_coef": 0.5}
    objective = OTHERS[name](**options, kl_in="loss", kl_estimator="k3")
    actor = objective.new_actor(tiny_policy(seed=2, eos=2.0))
    task = task_of(one_of())
    task.config = objective.config
    penalty = Penalty(objective.config, task.initial_policy)
    rollouts, diagnostics = collect(task, actor, objective, penalty)
    assert len(rollouts.sequences) == 24 and diagnostics["log_ratio"] > 0
    recorders = []
    for rank in range(3):
        replica = copy.deepcopy(actor)
        recorders.append(Recorder(replica))
        task = task_of(one_of(rank, 3))
        task.config = objective.config
        update.update_policy(task, replica, recorders[-1], rollouts, objective)
    reading = Reading.of(*actor(rollouts.sequences), rollouts)
    loss, _ = objective.loss(reading, rollouts)
    loss = loss + penalty_loss(reading, rollouts, objective.config.kl_estimator, objective)
    expected = torch.autograd.grad(loss, list(actor.parameters()))
    means = [torch.stack(each).mean(0) for each in zip(*(r.steps[0] for r in recorders), strict=True)]
    assert max(float(g.abs().max()) for g in expected) > 1e-3
    for a, b in zip(means, expected, strict=True):
        torch.testing.assert_close(a, b, atol=5e-6, rtol=1e-3)


def test_responses_to_one_prompt_stand_side_by_side(task_of, tiny_policy) -> None:
    objective = RLOO(replace(load_config("smoke", {}).of(RLOOConfig), ppo_batch_size=22, rloo_group_size=4))
    task = task_of(one_of())
    task.config = objective.config
    rollouts, _ = collect(
        task, objective.new_actor(tiny_policy(seed=2)), objective, Penalty(objective.config, task.initial_policy)
    )
    assert len(rollouts.sequences) == 20  # whole groups
    for group in rollouts.sequences.starts_B.split(4):
        assert len(set(group.tolist())) == 1


def test_only_adapters_are_trained_and_the_policy_is_measured_with_them(
    tiny_policy, tiny_reward_model, tiny_tokenizer, task_of
) -> None:
    from mlproject.curve import CurvePoint
    from mlproject.models.log_probs import measure_kl
    from mlproject.models.lora import merged_weights

    initial, measured = tiny_policy(seed=3), []

    def evaluate_policy(policy, step, diagnostics=None) -> CurvePoint:
        measured.append((policy, copy.deepcopy(merged_weights(policy))))
        prompts = PromptFormat(tiny_tokenizer, 6).encode_prompts(["yes"] * 64)
        drawn = sample(policy, prompts, max_new_tokens=6, generator=torch.Generator().manual_seed(0))
        kl = float(measure_kl(policy, initial, drawn.sequences).kl_B.mean())
        return CurvePoint(step, kl, torch.zeros(2).numpy(), torch.zeros(2).numpy())

    options = {"lora_rank": 2, "ppo_updates": 3, "ppo_minibatches": 2, "ppo_lr": 1e-2, "ppo_value_lr": 1e-2}
    task = task_of(Accelerator(cpu=True), **options, ppo_eval_first=0, ppo_eval_every=3)
    task.start_policy, task.progress = initial, lambda share: None
    task.evaluator = SimpleNamespace(evaluate_policy=evaluate_policy)
    first, last = ppo.optimize(task)
    assert first.kl == 0.0 and last.kl > 0.01
    (_, before), (policy, after) = measured
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.endswith(".weight") and "layers" in name for name in changed)
    parameters = dict(policy.named_parameters())
    start = initial.state_dict()
    for name in changed:
        assert torch.equal(parameters[name.replace(".weight", ".base_layer.weight")], start[name])


def test_only_gradient_passes_are_in_bfloat16_and_close_to_the_float32_gradient(
    task_of, actor_critic, monkeypatch
) -> None:
    monkeypatch.setattr(update.nn.utils, "clip_grad_norm_", lambda parameters, norm: None)
    layer, dtypes = actor_critic.policy.base_model.layers[0].mlp.dense_h_to_4h, []
    layer.register_forward_hook(lambda module, inputs, output: dtypes.append(output.dtype))
    rollouts, _ = collect_rollouts(task_of(one_of(), ppo_mixed_precision="bf16"), actor_critic)
    assert set(dtypes) == {torch.float32}
    steps = {}
    for precision, dtype in (("no", torch.float32), ("bf16", torch.bfloat16)):
        dtypes.clear()
        recorder = Recorder(actor_critic)
        update_policy(
            task_of(one_of(), ppo_minibatches=1, ppo_mixed_precision=precision), actor_critic, recorder, rollouts
        )
        assert set(dtypes) == {dtype}
        steps[precision] = torch.cat([g.flatten() for g in recorder.steps[0]])
    assert steps["bf16"].dtype == torch.float32
    assert float(torch.cosine_similarity(steps["no"], steps["bf16"], dim=0)) > 0.999
    assert not torch.equal(steps["no"], steps["bf16"])
