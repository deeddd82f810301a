"""A live chat policy is measured to its model's own ends, and read by a reward model of another family as it reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.support.chats import chat_tokenizer
from tests.support.checkpoints import TEXTS, configuration, save_checkpoint
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from mlproject.models.prompt_format import PromptFormat
from mlproject.monitoring.policy_evaluator import PolicyEvaluator

TURNS = [
    {"role": "user", "content": "Who is there?"},
    {"role": "assistant", "content": "Me."},
    {"role": "user", "content": "And then?"},
]
PROMPTS = [*TEXTS[:3], json.dumps(TURNS)]
SAMPLES = 4


@pytest.mark.parametrize("reader", ["Zephyr", "Llama 2, Mistral", "the policy's"])
def test_points_of_a_live_chat_policy_are_transformers_own_scores(reader, tmp_path):
    tokenizer = chat_tokenizer("Gemma")
    config = configuration("llama", len(tokenizer) + 27)  # some embeddings belong to no token
    config.initializer_range, config.eos_token_id = 0.3, tokenizer.eos_token_id
    with torch.random.fork_rng():
        torch.manual_seed(1)
        initial, policy = (AutoModelForCausalLM.from_config(config) for _ in range(2))
    word = tokenizer("e")["input_ids"][0]
    for model in (initial, policy):
        model.generation_config._from_model_config = False
        model.generation_config.eos_token_id = [tokenizer.eos_token_id, word]
        with torch.no_grad():
            model.lm_head.weight[word] *= 2
    own_tokenizer = tokenizer if reader == "the policy's" else chat_tokenizer(reader, 400)
    folder = save_checkpoint(tmp_path / "rm", "llama", own_tokenizer, reward=True)
    seen: list[tuple[list[str], list[str]]] = []

    def gold(prompts, responses):
        seen.append((list(prompts), list(responses)))
        return [float(len(response)) for response in responses]

    before = (policy.config.eos_token_id, policy.generation_config.eos_token_id, policy.training)
    evaluator = PolicyEvaluator(
        initial, PromptFormat(tokenizer, 10), PROMPTS, folder, gold, calibrate=False, pool_samples=SAMPLES,
        samples_per_prompt=SAMPLES,
    )  # fmt: skip
    point = evaluator.measure(policy, 3)
    assert (policy.config.eos_token_id, policy.generation_config.eos_token_id, policy.training) == before

    rm, rm_tokenizer = (auto.from_pretrained(folder) for auto in (AutoModelForSequenceClassification, AutoTokenizer))
    rm.eval()

    def own(prompt: str, response: str) -> float:
        messages = json.loads(prompt) if prompt.startswith("[{") else [{"role": "user", "content": prompt}]
        whole = [*messages, {"role": "assistant", "content": response}]
        with torch.no_grad():
            return rm(torch.tensor([rm_tokenizer.apply_chat_template(whole, return_dict=False)])).logits.item()

    assert len(seen) == 2, "the pool and the point, each text once"
    means = []
    for prompts, responses in seen:
        scores = {pair: own(*pair) for pair in zip(prompts, responses, strict=True)}
        means.append({prompt: [score for (p, _), score in scores.items() if p == prompt] for prompt in PROMPTS})
    assert all(len(scores) == SAMPLES for mean in means for scores in mean.values()), (
        "no text twice, so means are known"
    )
    expected = [np.mean(means[1][prompt]) - np.mean(means[0][prompt]) for prompt in PROMPTS]
    np.testing.assert_allclose(point.proxy_P, expected, atol=1e-5)
