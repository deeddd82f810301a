"""Ensembles: every formula by hand, and the scorer that applies it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from mlproject.cures import COMBINE, CURES
from mlproject.cures.folder import load_recipe, save_recipe
from mlproject.cures.reward_function import as_reward_function
from mlproject.cures.scorers import EnsembleScorer
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import load_reward_model

OPTIONS = {"uwo_lambda": 0.5, "ensemble_sds": 1.5}
TWO = np.array([[1.0, 4.0, -2.0, 0.0], [3.0, -2.0, -2.0, 1.0]])
BY_HAND = {
    "mean": [2.0, 1.0, -2.0, 0.5],
    "worst-case": [1.0, -2.0, -2.0, 0.0],
    "uncertainty-weighted": [2 - 0.5 * 1, 1 - 0.5 * 9, -2.0, 0.5 - 0.5 * 0.25],
    "median": [2.0, 1.0, -2.0, 0.5],
    "mean-minus-sd": [2 - 1.5 * 1, 1 - 1.5 * 3, -2.0, 0.5 - 1.5 * 0.5],
}


def the_long_way(name: str, scores_K: list[float]) -> float:
    mean = sum(scores_K) / len(scores_K)
    variance = sum((score - mean) ** 2 for score in scores_K) / len(scores_K)
    return {
        "mean": mean,
        "worst-case": sorted(scores_K)[0],
        "uncertainty-weighted": mean - 0.5 * variance,
        "median": sorted(scores_K)[len(scores_K) // 2],
        "mean-minus-sd": mean - 1.5 * variance**0.5,
    }[name]


@pytest.mark.parametrize("name", BY_HAND)
def test_two_members_are_combined_as_by_hand_and_five_as_the_long_way(name: str) -> None:
    combine = CURES[name].combine
    np.testing.assert_allclose(combine(TWO, OPTIONS), BY_HAND[name])
    five_KB = np.random.default_rng(0).normal(size=(5, 40))
    expected = [the_long_way(name, column.tolist()) for column in five_KB.T]
    np.testing.assert_allclose(combine(five_KB, OPTIONS), expected, atol=1e-12)


def test_every_ensemble_is_tried_here() -> None:
    assert {cure.name for cure in CURES.values() if cure.combine} == set(BY_HAND)
    assert all(cure.stage == COMBINE for cure in CURES.values() if cure.combine)


def test_a_saved_ensemble_scores_as_before(tmp_path: Path, tiny_reward_model, tiny_tokenizer) -> None:
    responses, policy = some_responses(tiny_tokenizer)
    members = [RewardModel(tiny_reward_model(seed)).with_units(0.1 * seed, 1.0 + seed) for seed in range(3)]
    made = EnsembleScorer("uncertainty-weighted", tuple(members), OPTIONS).with_units(0.3, 2.0)
    scores_KB = np.stack([member.rate(responses) for member in members])
    expected = 2.0 * (scores_KB.mean(0) - 0.5 * scores_KB.var(0) - 0.3)
    np.testing.assert_allclose(made.rate(responses), expected, atol=1e-12)
    save_recipe(made, tmp_path / "model", lambda part, folder: part.save(folder, policy))
    read = load_recipe(tmp_path / "model", lambda folder: load_reward_model(folder, policy))
    np.testing.assert_array_equal(read.rate(responses), made.rate(responses))


def some_responses(tokenizer: PreTrainedTokenizerFast) -> tuple[Responses, PromptFormat]:
    policy = PromptFormat(tokenizer, max_response_tokens=8)
    prompts = ["yes no", "maybe", "yes no", "no"]
    texts = ["no maybe", "yes", "maybe maybe no", "yes yes"]
    return Responses(prompts, policy.encode(prompts, texts), policy), policy


def test_a_trainer_gets_the_rewards_of_texts_and_of_messages(tiny_reward_model, tiny_tokenizer) -> None:
    responses, policy = some_responses(tiny_tokenizer)
    reward = EnsembleScorer("worst-case", tuple(RewardModel(tiny_reward_model(seed)) for seed in range(2)))
    function = as_reward_function(reward, policy, "cured")
    prompts = [[{"role": "user", "content": prompt}] for prompt in responses.prompts]
    completions = [[{"role": "assistant", "content": text}] for text in responses.texts]
    given = function(prompts=list(responses.prompts), completions=responses.texts, solution=["x"] * 4)
    assert given == function(prompts=prompts, completions=completions) == reward.rate(responses).tolist()
    assert function.__name__ == "cured"
