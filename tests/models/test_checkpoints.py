"""Checkpoints of policies and reward models: what is known without their weights, and how a policy samples."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.support.checkpoints import TEXTS, bert_tokenizer, byte_tokenizer, configuration, save_checkpoint
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from mlproject.errors import UserError
from mlproject.models.checkpoints import (
    load_policy_checkpoint,
    load_reward_checkpoint,
    load_with_reward_head,
    longest_sequence,
)
from mlproject.models.generation import sample
from mlproject.models.inspection import inspect_checkpoint, inspect_policy, rm_parameters
from mlproject.models.log_probs import measure_kl
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.sizes import SIZES

POLICIES = {"gpt2": ("gpt2", False), "llama": ("llama", True), "gpt_neox": ("gpt_neox", False)}
LONGEST = 10


@pytest.fixture(scope="module", params=POLICIES)
def policies(request, tmp_path_factory):
    """Two different policies, as a study loads them, and their prompt format."""
    architecture, chat = POLICIES[request.param]
    tokenizer = byte_tokenizer(320, chat=chat)
    loaded = []
    for seed in (0, 1):
        folder = save_checkpoint(tmp_path_factory.mktemp("policy"), architecture, tokenizer, reward=False, seed=seed)
        loaded.append(load_policy_checkpoint(inspect_policy(str(folder), "policy"), "policy"))
    for model, _ in loaded:
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(20)
            model.get_output_embeddings().weight.mul_(1 if model.config.tie_word_embeddings else 20)
            if not model.config.tie_word_embeddings:
                model.get_output_embeddings().weight[model.config.eos_token_id].mul_(0.1)
    return loaded[0][0], loaded[1][0], PromptFormat(loaded[0][1], LONGEST)


@pytest.fixture(scope="module")
def samples(policies):
    policy, _, prompt_format = policies
    return sample(
        policy,
        prompt_format.encode_prompts([*TEXTS, "x"]),
        max_new_tokens=LONGEST,
        generator=torch.Generator().manual_seed(0),
        samples_per_prompt=8,
    )


def log_p(model, row: list[int]) -> np.ndarray:
    """Log-probabilities of every next token, one sequence at a time, neither padded nor cached. Shape: (T, V)."""
    with torch.no_grad():
        return torch.log_softmax(model(input_ids=torch.tensor([row])).logits[0].double(), -1).numpy()


def test_sampled_log_probabilities_are_those_of_a_plain_forward_pass(policies, samples):
    policy, _, prompt_format = policies
    s, lengths, prompts = samples.sequences, set(), prompt_format.encode_prompts([*TEXTS, "x"])
    for i, (row, start, end) in enumerate(zip(s.ids_BT.tolist(), s.starts_B.tolist(), s.ends_B.tolist(), strict=True)):
        assert row[:start] == prompts.ids_PT[i // 8, : prompts.lengths_P[i // 8]].tolist()
        table = log_p(policy, row[:end])
        expected = [table[t - 1, row[t]] for t in range(start, end)]
        np.testing.assert_allclose(samples.log_probs_BR[i, : end - start], expected, atol=1e-4)
        assert (samples.log_probs_BR[i, end - start :] == 0).all()
        assert prompt_format.tokenizer.eos_token_id not in row[start : end - 1]
        assert end - start == LONGEST or row[end - 1] == prompt_format.tokenizer.eos_token_id
        lengths.add(end - start)
    assert np.std(expected) > 0.1, "no uniform distribution"


def test_the_kl_along_responses_is_the_sum_over_tokens_and_vocabulary(policies, samples):
    policy, other, _ = policies
    s = samples.sequences
    expected, entropy = [], []
    for row, start, end in zip(s.ids_BT.tolist(), s.starts_B.tolist(), s.ends_B.tolist(), strict=True):
        p, q = log_p(policy, row[:end]), log_p(other, row[:end])
        places = range(start - 1, end - 1)
        expected.append(sum(float((np.exp(p[t]) * (p[t] - q[t])).sum()) for t in places))
        entropy.append(sum(float(-(np.exp(p[t]) * p[t]).sum()) for t in places))
    divergence = measure_kl(policy, other, s)
    assert min(expected) > 0.01
    np.testing.assert_allclose(divergence.kl_B, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(divergence.entropy_B, entropy, rtol=1e-4)
    np.testing.assert_allclose(measure_kl(policy, policy, s).kl_B, 0, atol=1e-9)


def test_the_inspection_agrees_with_the_whole_model(tmp_path):
    for architecture, tokenizer in (
        ("gpt2", byte_tokenizer(300, chat=False)),
        ("llama", byte_tokenizer(300, chat=True)),
        ("bert", bert_tokenizer()),
    ):
        for reward in (False, True) if architecture != "bert" else (True,):
            folder = save_checkpoint(tmp_path / f"{architecture}-{reward}", architecture, tokenizer, reward=reward)
            info = inspect_checkpoint(str(folder), "gold")
            auto = AutoModelForSequenceClassification if reward else AutoModelForCausalLM
            model = auto.from_pretrained(folder)
            embedded = {id(p) for p in model.get_input_embeddings().parameters()}
            if model.get_output_embeddings() is not None:
                embedded |= {id(p) for p in model.get_output_embeddings().parameters()}
            count = sum(p.numel() for p in model.parameters() if id(p) not in embedded)
            assert (info.is_reward_model, info.parameters, info.name) == (reward, count, folder.name)
            assert info.source == str(folder.resolve())
            assert rm_parameters(str(folder)) == count
    assert rm_parameters("13k") == SIZES["13k"].reward_model_parameters


def test_the_digest_depends_on_the_weights_and_not_on_the_time(tmp_path):
    folder = save_checkpoint(tmp_path / "m", "gpt2", byte_tokenizer(300, chat=False), reward=False)
    first = inspect_policy(str(folder), "policy").digest
    weights = folder / "model.safetensors"
    os.utime(weights, ns=(1, 2**62))
    assert inspect_policy(str(folder), "policy").digest == first
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert inspect_policy(str(folder), "policy").digest != first
    content[-1] ^= 1
    weights.write_bytes(content)
    assert inspect_policy(str(folder), "policy").digest == first


def test_weights_saved_in_bfloat16_are_loaded_in_float32(tmp_path):
    folder = save_checkpoint(tmp_path / "m", "llama", byte_tokenizer(300, chat=True), reward=True)
    halves = AutoModelForSequenceClassification.from_pretrained(folder).to(torch.bfloat16)
    halves.save_pretrained(folder)
    model, _ = load_reward_checkpoint(inspect_checkpoint(str(folder), "gold"), "gold")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    torch.testing.assert_close(model.score.weight, halves.score.weight.float(), rtol=0, atol=0)


def test_a_new_head_leaves_the_body_unchanged_and_depends_on_the_seed_alone(tmp_path):
    folder = save_checkpoint(tmp_path / "m", "llama", byte_tokenizer(300, chat=True), reward=False)
    base = AutoModelForCausalLM.from_pretrained(folder)
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(heads))
        model, _ = load_with_reward_head(inspect_checkpoint(str(folder), "rm_sizes"), "rm_sizes", seed)
        assert model.config.num_labels == 1
        for name, weight in base.model.state_dict().items():
            torch.testing.assert_close(model.model.state_dict()[name], weight, rtol=0, atol=0)
        heads.append(model.score.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert heads[0].std() > 0


def test_a_reward_model_without_its_head_is_refused(tmp_path):
    folder = save_checkpoint(tmp_path / "m", "llama", byte_tokenizer(300, chat=True), reward=True)
    weights = load_file(folder / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"must have the weights score.weight. Save the whole model"):
        load_reward_checkpoint(inspect_checkpoint(str(folder), "gold"), "gold")


def test_roberta_reads_fewer_tokens_than_it_has_positions(tmp_path):
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = RobertaConfig(vocab_size=50, max_position_embeddings=34, num_labels=1, pad_token_id=1, **shape)
    model = RobertaForSequenceClassification(config).eval()
    longest = longest_sequence(model)
    assert longest == 32
    model(input_ids=torch.full((1, longest), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, longest + 1), 5))
    for architecture in ("gpt2", "llama", "bert"):
        auto = AutoModelForSequenceClassification.from_config(configuration(architecture, 50))
        assert longest_sequence(auto) == 256


def test_the_configuration_of_a_policy_names_end_of_sequence_and_padding(tmp_path):
    for chat, pad in ((False, "<|endoftext|>"), (True, "<|pad|>")):
        folder = save_checkpoint(tmp_path / str(chat), "llama", byte_tokenizer(300, chat=chat), reward=False)
        model, tokenizer = load_policy_checkpoint(inspect_policy(str(folder), "policy"), "policy")
        assert model.config.eos_token_id == tokenizer.eos_token_id
        assert model.config.pad_token_id == tokenizer.convert_tokens_to_ids(pad)
        assert AutoTokenizer.from_pretrained(folder).eos_token == tokenizer.eos_token
