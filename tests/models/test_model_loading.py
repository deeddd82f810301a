"""A user's model is loaded whole, in float32, by code of transformers alone; or refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.support.checkpoints import byte_tokenizer, change_weights, save_checkpoint
from transformers import AutoModelForSequenceClassification

from mlproject.errors import UserError
from mlproject.models.inspection import inspect_checkpoint
from mlproject.models.model_loading import load_causal_lm, load_classifier

IDS = torch.tensor([[5, 9, 7, 4, 11]])


@pytest.fixture
def folder(tmp_path):
    return save_checkpoint(tmp_path / "rm", "llama", byte_tokenizer(300, chat=True), reward=True)


def renamed(name: str, bias: bool = False):
    def change(weights):
        weights[f"{name}.weight"] = weights.pop("score.weight")
        if bias:
            weights[f"{name}.bias"] = torch.tensor([3.0])

    return change


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", ["value_head", "v_head", "reward_head"])
def test_a_head_of_another_name_gives_the_same_scores(folder, name, bias) -> None:
    with torch.no_grad():
        expected = AutoModelForSequenceClassification.from_pretrained(folder)(input_ids=IDS).logits
    change_weights(folder, renamed(name, bias))
    for seed in (0, 1):
        torch.manual_seed(seed)
        with torch.no_grad():
            torch.testing.assert_close(load_classifier(str(folder), "gold")(input_ids=IDS).logits, expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: weights.pop("score.weight"), ["must have the weights score.weight. Save"]),
        (renamed("v_head.summary"), ["must have the weights score.weight, and not v_head.summary.weight"]),
        (renamed("mine"), ["must have the weights score.weight. Save"]),
        (
            lambda weights: weights.update(
                {"v_head.weight": weights["score.weight"], "value_head.weight": weights.pop("score.weight").clone()}
            ),
            ["must have the weights score.weight, and not v_head.weight, value_head"],
        ),
        (
            lambda weights: weights.update({"score.weight": weights["score.weight"].repeat(3, 1)}),
            ["must have one label, but has 3"],
        ),
        (
            lambda weights: weights.update({"value_head.weight": weights.pop("score.weight").repeat(2, 1)}),
            ["must have one label, but has 2"],
        ),
        (
            lambda weights: weights.update({"model.norm.weight": weights["model.norm.weight"][:4].clone()}),
            ["the weights model.norm.weight must have the shape (16,), but have (4,)"],
        ),
        (lambda weights: weights.pop("model.norm.weight"), ["must have the weights model.norm.weight"]),
    ],
    ids=["none", "of TRL's policies", "unknown name", "two heads", "three labels", "two labels", "body", "no norm"],
)  # fmt: skip
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_model_that_is_not_whole_is_refused_whatever_its_weights_device(folder, device, change, words) -> None:
    change_weights(folder, change)
    with pytest.raises(UserError) as caught:
        load_classifier(str(folder), "gold=./rm", device=device)
    assert str(caught.value).startswith("gold=./rm: ") and "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("architectures", [["LlamaForRewardModel"], ["RewardModel"], None, ["LlamaForCausalLM"]])
def test_a_reward_model_is_known_by_its_weights_where_its_class_is_not(folder, architectures) -> None:
    change_weights(folder, renamed("value_head"))
    config = json.loads((folder / "config.json").read_text())
    del config["id2label"], config["label2id"]  # transformers then counts two labels
    (folder / "config.json").write_text(json.dumps(config | {"architectures": architectures}))
    assert inspect_checkpoint(str(folder), "gold").is_reward_model
    assert load_classifier(str(folder), "gold").config.num_labels == 1


def test_a_language_model_with_a_value_head_is_a_language_model(tmp_path) -> None:
    folder = save_checkpoint(tmp_path / "lm", "llama", byte_tokenizer(300, chat=True), reward=False)
    change_weights(folder, lambda weights: weights.update({"v_head.weight": torch.ones(1, 16)}))
    assert not inspect_checkpoint(str(folder), "rm_sizes").is_reward_model


def test_a_language_model_lacks_its_head_only_where_it_is_not_tied(tmp_path) -> None:
    tied = save_checkpoint(tmp_path / "tied", "gpt2", byte_tokenizer(300, chat=False), reward=False)
    assert load_causal_lm(str(tied), "policy").lm_head.weight is not None
    untied = save_checkpoint(tmp_path / "untied", "llama", byte_tokenizer(300, chat=True), reward=False)
    change_weights(untied, lambda weights: weights.pop("lm_head.weight"))
    with pytest.raises(UserError, match=r"^policy: must have the weights lm_head.weight"):
        load_causal_lm(str(untied), "policy")


def test_half_precision_weights_are_scored_in_float32(folder) -> None:
    halves = AutoModelForSequenceClassification.from_pretrained(folder).to(torch.float16)
    halves.save_pretrained(folder)
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(4, 300, (200, 6)))
    with torch.no_grad():
        scores = load_classifier(str(folder), "gold")(input_ids=ids).logits.flatten()
        expected = halves.float()(input_ids=ids).logits.flatten()
    torch.testing.assert_close(scores, expected, atol=5e-3, rtol=0)  # `halves` has rounded its positions for good
    assert len(scores.unique()) == 200
