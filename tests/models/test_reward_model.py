"""Reward models: every path to a score gives the score of the plain model, and nothing is lost in a folder."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from mlproject.models.init import new_reward_model, parameter_count
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel, content_hash
from mlproject.models.sequences import Sequences, encode
from mlproject.models.sizes import SIZES

WORDS = ("yes", "no", "maybe")


@pytest.fixture(scope="module")
def sequences(tiny_tokenizer) -> Sequences:
    """117 responses to one prompt, 39 to another that it begins with, all twice, in a mixed order."""
    many = [" ".join(words) for n in (1, 2, 3, 4) for words in itertools.product(WORDS, repeat=n)][:117]
    few = [" ".join(words) for n in (1, 2, 3) for words in itertools.product(WORDS, repeat=n)]
    prompts = ["yes no"] * len(many) + ["yes"] * len(few)
    order = np.random.default_rng(0).permutation(2 * len(prompts)) % len(prompts)
    responses = [*many, *few]
    return encode(tiny_tokenizer, [prompts[i] for i in order], [responses[i] for i in order], max_response_tokens=4)


def scores_one_by_one(model, sequences: Sequences) -> np.ndarray:
    """The long way: each sequence alone, without padding or cache."""
    with torch.no_grad():
        rows = zip(sequences.ids_BT, sequences.ends_B.tolist(), strict=True)
        return np.array([model(input_ids=row[None, :end]).logits.item() for row, end in rows])


@pytest.mark.parametrize("shared_prompt", [64, 1, 10_000], ids=["both paths", "all through the cache", "none"])
def test_raw_scores_are_those_of_the_plain_model_one_by_one(
    tiny_reward_model, sequences, shared_prompt, monkeypatch
) -> None:
    monkeypatch.setattr("mlproject.models.reward_model._SHARED_PROMPT", shared_prompt)
    model = tiny_reward_model(size="25k")
    expected = scores_one_by_one(model, sequences)
    assert expected.std() > 0.3
    np.testing.assert_allclose(RewardModel(model).raw_scores(sequences).numpy(), expected, atol=1e-4)


def test_identical_sequences_get_identical_scores(tiny_reward_model, sequences: Sequences) -> None:
    scores = RewardModel(tiny_reward_model()).raw_scores(sequences).tolist()
    by_content: dict[tuple[int, ...], set[float]] = {}
    for row, score in zip(sequences.ids_BT.tolist(), scores, strict=True):
        by_content.setdefault(tuple(row), set()).add(score)
    assert len(by_content) * 2 == len(sequences)
    assert all(len(distinct) == 1 for distinct in by_content.values())


def test_a_score_does_not_depend_on_what_stands_beside_it(tiny_reward_model, sequences: Sequences) -> None:
    rm = RewardModel(tiny_reward_model())
    index = torch.tensor([17, 3, 200])
    alone, among = rm.raw_scores(sequences.select(index)), rm.raw_scores(sequences)[index]
    torch.testing.assert_close(alone, among, atol=1e-5, rtol=0)


def test_scores_are_raw_scores_recentred_and_scaled(tiny_reward_model, sequences: Sequences) -> None:
    rm = RewardModel(tiny_reward_model())
    raw = rm.raw_scores(sequences).numpy()
    np.testing.assert_allclose(rm.with_units(0.7, 2.5).scores(sequences), 2.5 * (raw - 0.7), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(rm.scores(sequences), raw)


def test_saving_and_loading_keeps_scores_and_units(tiny_reward_model, tiny_tokenizer, sequences, tmp_path) -> None:
    rm = RewardModel(tiny_reward_model()).with_units(centre=0.3, scale=1.7)
    rm.save(tmp_path, PromptFormat(tiny_tokenizer, 4))
    loaded = RewardModel.load(tmp_path)
    assert (loaded.centre, loaded.scale) == (0.3, 1.7)
    # Weights mapped from a file lie on other addresses, and the order of sums depends on these: not to the last bit.
    np.testing.assert_allclose(loaded.scores(sequences), rm.scores(sequences), rtol=1e-5, atol=1e-6)
    assert content_hash(loaded.model) == content_hash(rm.model)


def test_a_saved_folder_holds_safetensors_only_and_serves_plain_transformers(
    tiny_reward_model, tiny_tokenizer, sequences, tmp_path
) -> None:
    rm = RewardModel(tiny_reward_model()).with_units(centre=0.3, scale=1.7)
    rm.save(tmp_path, PromptFormat(tiny_tokenizer, 4))
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".safetensors", ".json", ".jinja"}
    assert list(tmp_path.glob("*.safetensors"))
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(tmp_path),
        AutoTokenizer.from_pretrained(tmp_path),
    )
    assert type(model).__module__.startswith("transformers.")
    with torch.no_grad():
        batch = tokenizer(["yes no <sep> maybe <eos>", "yes <sep> no no <eos>"], padding=True, return_tensors="pt")
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.squeeze(-1)
    ours = rm.raw_scores(encode(tiny_tokenizer, ["yes no", "yes"], ["maybe", "no no"], max_response_tokens=4))
    torch.testing.assert_close(logits, ours, atol=1e-5, rtol=0)
    assert (model.config.reward_centre, model.config.reward_scale) == (0.3, 1.7)


def test_any_classifier_with_one_label_loads_in_its_own_units(tiny_reward_model, sequences, tmp_path) -> None:
    model = tiny_reward_model(seed=5)
    model.save_pretrained(tmp_path)
    np.testing.assert_allclose(
        RewardModel.load(tmp_path).scores(sequences)[:9],
        scores_one_by_one(model, sequences.select(slice(0, 9))),
        atol=1e-5,
    )


def test_the_content_hash_changes_with_a_single_weight_and_only_then(tiny_reward_model) -> None:
    model, twin, other = tiny_reward_model(seed=1), tiny_reward_model(seed=1), tiny_reward_model(seed=2)
    assert content_hash(model) == content_hash(twin) != content_hash(other)
    with torch.no_grad():
        weight = next(iter(twin.parameters())).view(-1)
        weight[3] = torch.nextafter(weight[3], torch.tensor(torch.inf))
    assert content_hash(model) != content_hash(twin)


@pytest.mark.parametrize("name", SIZES)
def test_the_ladder_states_the_parameters_that_the_built_model_has(name: str, tiny_tokenizer) -> None:
    with torch.device("meta" if SIZES[name].reward_model_parameters > 10**7 else "cpu"):  # counted without being drawn
        model = new_reward_model(name, tiny_tokenizer, seed=0)
    embedding = model.get_input_embeddings().weight.numel()
    counted = sum(p.numel() for p in model.parameters()) - embedding
    assert SIZES[name].reward_model_parameters == parameter_count(model) == counted


def test_the_seed_decides_the_initial_weights_and_leaves_the_global_stream_alone(tiny_tokenizer) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, again, other = (new_reward_model("1k", tiny_tokenizer, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert content_hash(first) == content_hash(again) != content_hash(other)
