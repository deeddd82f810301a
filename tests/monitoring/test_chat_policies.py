"""A live chat policy is measured to its model's own ends, and read by a reward model of another family as it reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.support.chats import chat_tokenizer
from tests.support.checkpoints import TEXTS, configuration, save_checkpoint
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from mlproject.errors import UserError
from mlproject.integrations.trainer_callback import OveroptimizationCallback
from mlproject.models.live_policy import as_reference
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


def policy_with(tokenizer):
    return AutoModelForCausalLM.from_config(configuration("llama", len(tokenizer))).eval()


def lengths(prompts, responses):
    return [float(len(response)) for response in responses]


def test_conversations_are_given_as_a_dataset_holds_them_or_as_json(tmp_path):
    tokenizer = chat_tokenizer("Gemma")
    policy, prompt_format = policy_with(tokenizer), PromptFormat(tokenizer, 5)
    forms = {
        "lists": [TURNS, TURNS[:1]],
        "JSON": [json.dumps(TURNS), TURNS[0]["content"]],
        "JSON, content first": [json.dumps([dict(sorted(turn.items())) for turn in TURNS]), json.dumps(TURNS[:1])],
    }
    for name, prompts in forms.items():
        evaluator = PolicyEvaluator(as_reference(policy, tokenizer), prompt_format, prompts, lengths, lengths)
        encoded = prompt_format.encode_prompts(evaluator.prompts)
        for i, messages in enumerate((TURNS, TURNS[:1])):
            expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
            assert encoded.ids_PT[i, : encoded.lengths_P[i]].tolist() == expected, name


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ("hello", "must be a list of prompts, not one text"),
        (["a", 3], "number 2: field prompt must be a text, not a number"),
        (["a", None], "number 2: field prompt must be a text, not nothing"),
        ([{"prompt": "a"}, "b"], "number 1: field prompt must be a text, not an object"),
        (
            ["a", [*TURNS, {"role": "assistant", "content": "b"}]],
            "number 2: field prompt must end with the user's turn",
        ),
        (["a", [{"role": "user"}]], "number 2: field prompt, message 1 must have role and content"),
    ],
)
def test_what_is_no_prompt_is_refused_in_one_line_when_the_callback_is_made(prompts, words):
    tokenizer = chat_tokenizer("ChatML")
    for make in (
        lambda: OveroptimizationCallback(prompts, lengths),
        lambda: PolicyEvaluator(policy_with(tokenizer), PromptFormat(tokenizer, 5), prompts, lengths),
    ):
        with pytest.raises(UserError, match=words) as caught:
            make()
        assert "\n" not in str(caught.value)


def test_a_template_that_writes_no_text_is_refused(tmp_path):
    tokenizer = chat_tokenizer("ChatML")
    policy = policy_with(tokenizer)
    tokenizer.chat_template = tokenizer.chat_template.replace("m.content", "(m.content | map(attribute='text') | join)")
    with pytest.raises(UserError, match="the chat template of the policy must write what the user says"):
        PolicyEvaluator(as_reference(policy, tokenizer), PromptFormat(tokenizer, 5), TEXTS, lengths)
