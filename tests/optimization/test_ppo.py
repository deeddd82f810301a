"""PPO on tasks whose best policy is known, and what it must not see."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tests.optimization.pools import stored_pool
from transformers import PreTrainedModel

from mlproject.config.schema import load_config
from mlproject.curve import CurvePoint
from mlproject.models.generation import sample
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel, content_hash
from mlproject.models.sequences import encode_prompts
from mlproject.optimization.evaluator import Evaluator
from mlproject.optimization.on_policy import ppo
from mlproject.optimization.on_policy.ppo_config import PPOConfig
from mlproject.optimization.task import OptimizationTask

pytestmark = pytest.mark.trains

SMOKE = load_config("smoke", {}).of(PPOConfig)
OPTIONS = {
    "kl_coef": 0.0,
    "ppo_updates": 4,
    "ppo_batch_size": 32,
    "ppo_epochs": 2,
    "ppo_minibatches": 2,
    "ppo_lr": 1e-3,
    "ppo_value_lr": 1e-2,
    "ppo_clip": 0.2,
    "ppo_gae_lambda": 0.95,
    "ppo_eval_first": 0,
    "ppo_eval_every": 2,
}


class TableReward:
    """A proxy with a table of scores."""

    def __init__(self, table: Mapping[tuple[int, ...], float]) -> None:
        self.table = table

    def rate(self, responses: Responses) -> np.ndarray:
        sequences = responses.sequences
        rows = zip(sequences.response_ids_BR.tolist(), sequences.response_lengths_B.tolist(), strict=True)
        return np.array([self.table[tuple(ids[:length])] for ids, length in rows])


class ExactEvaluator:
    """Measures a policy by enumerating its responses: no sampling noise."""

    def __init__(self, responses_of: Callable[[PreTrainedModel], dict], initial: dict, table: Mapping) -> None:
        self.responses_of, self.initial, self.table = responses_of, initial, table

    def evaluate_policy(self, policy: PreTrainedModel, step: int, diagnostics: Any = None) -> CurvePoint:
        responses = self.probabilities = self.responses_of(policy)
        kl = sum(p * math.log(p / self.initial[y]) for y, p in responses.items() if p > 0)
        reward = sum(p * self.table[y] for y, p in responses.items())
        return CurvePoint(step, kl, np.array([reward]), np.array([0.0]), diagnostics=dict(diagnostics or {}))


@pytest.mark.parametrize("kl_coef", [0.5, 0.2])
def test_ppo_reaches_the_exact_kl_regularised_optimum(
    kl_coef: float, tiny_policy, tiny_tokenizer, enumerate_responses
) -> None:
    """The best policy is pi_init(y) exp(r(y) / kl_coef) / Z, and its objective kl_coef log Z."""
    initial_policy, prompt_format = (
        tiny_policy(seed=3, sharpness=1.5),
        PromptFormat(tiny_tokenizer, max_response_tokens=2),
    )
    prompts = prompt_format.encode_prompts(["yes no"])
    responses_of = lambda policy: enumerate_responses(policy, prompts.ids_PT[0].tolist(), 2)  # noqa: E731
    initial = responses_of(initial_policy)
    rng = np.random.default_rng(0)
    table = {y: float(reward) for y, reward in zip(initial, rng.normal(size=len(initial)), strict=True)}

    weight = {y: p * math.exp(table[y] / kl_coef) for y, p in initial.items()}
    z = sum(weight.values())
    best_objective = kl_coef * math.log(z)
    best_reward = sum(w / z * table[y] for y, w in weight.items())
    best_kl = (best_reward - best_objective) / kl_coef

    evaluator = ExactEvaluator(responses_of, initial, table)
    task = OptimizationTask(
        initial_policy=initial_policy,
        start_policy=initial_policy,
        proxy=TableReward(table),
        prompt_format=prompt_format,
        train_texts=["yes no"],
        samples=None,
        evaluator=evaluator,
        config=replace(
            SMOKE,
            kl_coef=kl_coef,
            ppo_updates=120,
            ppo_batch_size=256,
            ppo_epochs=2,
            ppo_minibatches=1,
            ppo_lr=3e-3,
            ppo_value_lr=1e-2,
            ppo_clip=0.2,
            ppo_gae_lambda=1.0,
            ppo_eval_first=0,
            ppo_eval_every=10,
        ),
        accelerator=Accelerator(cpu=True),
        generator=torch.Generator().manual_seed(0),
    )
    points = list(ppo.optimize(task))
    objective_S = np.array([point.proxy - kl_coef * point.kl for point in points])
    assert [point.step for point in points] == list(range(0, 121, 10))
    assert points[0].kl == pytest.approx(0, abs=1e-6)
    assert objective_S[0] < best_objective - 0.4  # there is something to gain
    assert (objective_S < best_objective + 1e-6).all()  # no policy has a higher objective
    gap = (best_objective - objective_S[-3:].mean()) / (best_objective - objective_S[0])
    assert gap < 0.05
    assert np.mean([point.proxy for point in points[-3:]]) == pytest.approx(best_reward, rel=0.1)
    assert np.mean([point.kl for point in points[-3:]]) == pytest.approx(best_kl, rel=0.15)
    total_variation = 0.5 * sum(abs(evaluator.probabilities[y] - w / z) for y, w in weight.items())
    assert total_variation < 0.15  # from the best policy


@pytest.fixture(scope="module")
def small_world(tiny_policy, tiny_tokenizer, tmp_path_factory) -> SimpleNamespace:
    initial_policy = tiny_policy(seed=3)
    texts = ["yes no", "no", "maybe maybe yes"]
    prompts = encode_prompts(tiny_tokenizer, texts)
    generator = torch.Generator().manual_seed(0)
    samples = sample(initial_policy, prompts, max_new_tokens=4, generator=generator, samples_per_prompt=8)
    judge = SimpleNamespace(judge=lambda prompts, responses: None, text_stats=lambda responses: {})
    return SimpleNamespace(
        policy=initial_policy, texts=texts, prompts=prompts, samples=samples, judge=judge,
        folder=tmp_path_factory.mktemp("pools"),
    )  # fmt: skip


def run_ppo(
    world: SimpleNamespace, tokenizer, proxy, gold, seed: int = 1, start=None, **options: Any
) -> list[CurvePoint]:
    prompt_format = PromptFormat(tokenizer, max_response_tokens=4)
    log_prob_B = world.samples.log_probs_BR.sum(1).double().numpy()
    prompts = [text for text in world.texts for _ in range(8)]
    samples = Responses(prompts, world.samples.sequences, prompt_format, log_prob_B)
    pool = stored_pool(Path(mkdtemp(dir=world.folder)) / "samples", samples, 8, gold.rate(samples).reshape(3, 8))
    evaluator = Evaluator(
        world=world.judge,
        prompt_format=prompt_format,
        prompts=world.texts,
        initial_policy=world.policy,
        proxy=proxy,
        gold=gold,
        human_units=(0.0, 1.0),
        pool=pool,
        samples_per_prompt=5,
        seed=9,
        round_start=start,
    )
    task = OptimizationTask(
        initial_policy=world.policy,
        start_policy=start or world.policy,
        proxy=proxy,
        prompt_format=prompt_format,
        train_texts=world.texts,
        samples=pool.samples,
        evaluator=evaluator,
        config=replace(SMOKE, **(OPTIONS | options)),
        accelerator=Accelerator(cpu=True),
        generator=torch.Generator().manual_seed(seed),
    )
    return list(ppo.optimize(task))


def test_gold_never_reaches_the_optimizer(small_world, tiny_reward_model, tiny_tokenizer) -> None:
    proxy, gold, other_gold = (RewardModel(tiny_reward_model(seed)) for seed in (1, 2, 3))
    first = run_ppo(small_world, tiny_tokenizer, proxy, gold, kl_coef=0.05)
    second = run_ppo(small_world, tiny_tokenizer, proxy, other_gold.with_units(0.5, -4.0), kl_coef=0.05)
    assert [point.step for point in first] == [0, 2, 4]
    for a, b in zip(first, second, strict=True):
        assert a.kl == b.kl
        assert a.proxy_P.tolist() == b.proxy_P.tolist()
        assert a.diagnostics == b.diagnostics
        assert a.gold_P.tolist() != b.gold_P.tolist()


def test_ppo_leaves_the_initial_policy_and_the_global_random_stream_as_they_were(
    small_world, tiny_reward_model, tiny_tokenizer
) -> None:
    proxy = RewardModel(tiny_reward_model(1))
    before = content_hash(small_world.policy), torch.random.get_rng_state()
    points = run_ppo(small_world, tiny_tokenizer, proxy, proxy)
    assert points[0].kl == 0 and points[-1].kl > 0
    assert content_hash(small_world.policy) == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_the_generator_determines_a_run(small_world, tiny_reward_model, tiny_tokenizer) -> None:
    proxy = RewardModel(tiny_reward_model(1))
    first, again, other = (run_ppo(small_world, tiny_tokenizer, proxy, proxy, seed) for seed in (1, 1, 2))
    assert [point.kl for point in first] == [point.kl for point in again]
    assert first[-1].kl != other[-1].kl


def test_points_come_every_few_updates_and_after_the_last(small_world, tiny_reward_model, tiny_tokenizer) -> None:
    proxy = RewardModel(tiny_reward_model(1))
    points = run_ppo(small_world, tiny_tokenizer, proxy, proxy, ppo_updates=5, ppo_eval_every=3)
    assert [point.step for point in points] == [0, 3, 5]


def test_each_of_the_first_updates_is_measured(small_world, tiny_reward_model, tiny_tokenizer) -> None:
    proxy = RewardModel(tiny_reward_model(1))
    points = run_ppo(small_world, tiny_tokenizer, proxy, proxy, ppo_updates=7, ppo_eval_first=2, ppo_eval_every=4)
    assert [point.step for point in points] == [0, 1, 2, 4, 7]


def test_ppo_without_a_penalty_raises_the_proxy_score(small_world, tiny_reward_model, tiny_tokenizer) -> None:
    proxy, gold = (RewardModel(tiny_reward_model(seed)) for seed in (1, 2))
    points = run_ppo(small_world, tiny_tokenizer, proxy, gold, ppo_updates=40, ppo_eval_every=40, ppo_batch_size=128)
    spread = proxy.scores(small_world.samples.sequences).std()
    assert points[-1].proxy > points[0].proxy + 0.25 * spread
    assert (points[-1].proxy_P > points[0].proxy_P).all()


def test_a_later_round_starts_at_its_policy_and_measures_kl_from_there_and_from_the_initial_policy(
    small_world, tiny_policy, tiny_reward_model, tiny_tokenizer
) -> None:
    proxy, gold, moved = RewardModel(tiny_reward_model(1)), RewardModel(tiny_reward_model(2)), tiny_policy(seed=4)
    points = run_ppo(small_world, tiny_tokenizer, proxy, gold, start=moved)
    assert points[0].diagnostics["round_kl"] == 0.0
    assert points[0].kl > 0.1
    assert points[-1].diagnostics["round_kl"] > 0.0
    (first, *_) = run_ppo(small_world, tiny_tokenizer, proxy, gold)
    assert "round_kl" not in first.diagnostics


def test_estimates_of_kl_from_sampled_tokens_agree_with_the_exact_kl(
    small_world, tiny_reward_model, tiny_tokenizer
) -> None:
    proxy, gold = (RewardModel(tiny_reward_model(seed)) for seed in (1, 2))
    start, *later = run_ppo(small_world, tiny_tokenizer, proxy, gold, ppo_lr=2e-3)
    assert [start.diagnostics[name] for name in ("kl_k1", "kl_k3", "kl_disagreement")] == [0.0, 0.0, 0.0]
    for point in later:
        assert point.kl > 0.05
        assert abs(point.diagnostics["kl_disagreement"]) < 4
        assert point.diagnostics["kl_k3"] == pytest.approx(point.kl, rel=0.6)
