"""A reward model of any architecture scores as it does each sequence alone; the oracle is that reading."""

from __future__ import annotations

import random

import pytest
import torch
import transformers
from tests.support.architectures import PAD, VOCABULARY, tiny_model
from tests.support.checkpoints import byte_tokenizer, change_weights, save_checkpoint

from mlproject.errors import UserError
from mlproject.models.checkpoints import load_reward_checkpoint, prompt_format_of
from mlproject.models.inspection import inspect_reward_model
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import TextRewardModel
from mlproject.models.scoring import Scoring, scoring_of
from mlproject.models.sequences import sequences_from_rows
from mlproject.monitoring.user_scorers import as_scorer
from mlproject.preferences.bradley_terry import train_reward_model

EXPECTED = {
    "gpt_neox": Scoring(pads=True, shares_prompts=True, skips_unread=True),
    "llama": Scoring(pads=True, shares_prompts=True),
    "qwen3_next": Scoring(pads=True, shares_prompts=True),  # linear attention, whose cache can be reordered alone
    "minimax": Scoring(pads=True, shares_prompts=False),  # a cache of its own
    "openai-gpt": Scoring(pads=True, shares_prompts=False),  # a decoder without a cache
    "bert": Scoring(pads=True, shares_prompts=False),
    "xlnet": Scoring(pads=False, shares_prompts=False),  # its head reads the last column
    "fnet": Scoring(pads=False, shares_prompts=False),  # its Fourier transform has no mask
}


def reward_model_of(model_type: str, **options):
    return tiny_model(transformers.AutoModelForSequenceClassification, model_type, num_labels=1, **options)


@pytest.mark.parametrize("model_type", EXPECTED)
def test_scores_are_those_of_each_sequence_alone(model_type) -> None:
    model, words = reward_model_of(model_type), random.Random(1)
    assert scoring_of(model) == EXPECTED[model_type]
    prompt = [words.randrange(3, VOCABULARY) for _ in range(5)]
    rows = [
        [*prompt, *(words.randrange(3, VOCABULARY) for _ in range(1 + i % 7))] for i in range(70)
    ]  # enough to share
    rows += [[words.randrange(3, VOCABULARY) for _ in range(length)] for length in (6, 14, 9)]
    starts = [5] * len(rows)
    scores = RewardModel(model).raw_scores(sequences_from_rows(rows, starts, PAD))
    for row, start, score in zip(rows, starts, scores, strict=True):
        ids = torch.tensor([row])
        second = (
            {"token_type_ids": (torch.arange(len(row))[None] >= start).long()} if model_type in ("bert", "fnet") else {}
        )
        with torch.no_grad():
            expected = model(input_ids=ids, **second).logits
        torch.testing.assert_close(score, expected[0, 0], atol=1e-5 * float(scores.std()) + 1e-6, rtol=1e-5)


def test_a_model_of_two_labels_or_of_words_is_refused_in_one_line(tiny_policy, tiny_reward_model) -> None:
    for model in (tiny_policy(), reward_model_of("bert")):
        if model.config.num_labels == 1:
            model.classifier = torch.nn.Linear(32, 2)
        with pytest.raises(UserError, match=r"^gold: must give a sequence of tokens one score, but .* fails"):
            scoring_of(model, "gold")


def test_a_model_whose_scores_depend_on_padding_is_not_trained(tiny_reward_model) -> None:
    with pytest.raises(UserError, match=r"^XLNetForSequenceClassification: must read sequences of different lengths"):
        train_reward_model(reward_model_of("xlnet"), None, None, accelerator=None, generator=None)  # type: ignore[arg-type]


def test_a_live_model_in_half_precision_is_scored_in_float32_and_left_as_it_is(tmp_path) -> None:
    tokenizer = byte_tokenizer(300, chat=True)
    folder = save_checkpoint(tmp_path / "rm", "llama", tokenizer, reward=True)
    half = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
    policy = transformers.AutoModelForCausalLM.from_config(half.config)
    scorer = as_scorer(half, "proxy", policy, PromptFormat(tokenizer, 8))
    model = scorer.reward_model.model if isinstance(scorer, TextRewardModel) else scorer.model
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    half.hf_device_map = {"": "cpu"}
    with pytest.raises(UserError, match=r"^proxy: must be in float32, or on one device and not quantised"):
        as_scorer(half, "proxy", policy, PromptFormat(tokenizer, 8))


def test_a_folder_is_loaded_for_the_callback_as_for_a_study(tmp_path) -> None:
    tokenizer = byte_tokenizer(300, chat=True)
    folder = save_checkpoint(tmp_path / "rm", "llama", tokenizer, reward=True)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).to(torch.bfloat16)
    model.save_pretrained(folder)
    change_weights(folder, lambda weights: weights.update({"value_head.weight": weights.pop("score.weight")}))
    prompts, responses = ["Hello!"] * 20, [f"No {i}" for i in range(20)]
    prompt_format = PromptFormat(tokenizer, 12)
    written = Responses(prompts, prompt_format.encode(prompts, responses), prompt_format)
    study, _ = load_reward_checkpoint(inspect_reward_model(str(folder), "gold"), "gold")
    in_study = TextRewardModel(RewardModel(study), prompt_format_of(tokenizer, study)).rate(written)
    in_callback = as_scorer(folder, "gold", study, prompt_format).rate(written)
    assert len(set(in_callback)) == 20 and (in_callback == in_study).all()
    change_weights(folder, lambda weights: weights.pop("value_head.weight"))
    with pytest.raises(UserError, match=r"^gold=.*: must have the weights score.weight. Save the whole model"):
        as_scorer(folder, "gold", study, prompt_format)
