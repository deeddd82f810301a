"""Any causal model is read so that it predicts as for each sequence alone; the oracle is that reading."""

from __future__ import annotations

import random

import pytest
import torch
import transformers
from tests.support.architectures import END, PAD, VOCABULARY, tiny_model
from tests.support.checkpoints import byte_tokenizer

from mlproject.errors import UserError
from mlproject.models.decoding import Decoding, decoding_of
from mlproject.models.generation import sample
from mlproject.models.log_probs import log_probs_of, measure_kl
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.sequences import prompts_from_rows
from mlproject.monitoring.policy_evaluator import PolicyEvaluator

TOGETHER, APART, AGAIN = Decoding("past_key_values", True), Decoding("past_key_values", False), Decoding()
EXPECTED = {
    "llama": TOGETHER,
    "mistral": TOGETHER,  # a window of 8 tokens, which the prompts exceed
    "qwen3_5_text": TOGETHER,  # linear attention and full attention in turn
    "lfm2": TOGETHER,  # convolutions
    "bloom": TOGETHER,  # ALiBi
    "mamba": Decoding("cache_params", False),  # its state takes in the padding
    "bart": APART,  # positions are counted from the first column
    "recurrent_gemma": AGAIN,  # its state is kept in the modules
    "openai-gpt": AGAIN,  # no cache
}


def policy_of(model_type: str, seed: int = 0, **options):
    model = tiny_model(transformers.AutoModelForCausalLM, model_type, seed, **options)
    model.config.eos_token_id, model.config.pad_token_id = END, PAD
    return model


def as_words(prompts, responses) -> list[float]:
    return [float(len(response)) for response in responses]


def prompts_of(*lengths: int):
    words = random.Random(3)
    return prompts_from_rows([[words.randrange(3, VOCABULARY) for _ in range(length)] for length in lengths], PAD)


def alone(policy, sequences, row: int) -> torch.Tensor:
    """Log-probabilities of a response, from one reading without padding and cache. Shape: (R,)."""
    start, end = int(sequences.starts_B[row]), int(sequences.ends_B[row])
    ids = sequences.ids_BT[row, :end]
    with torch.no_grad():
        logits = policy(input_ids=ids[None], use_cache=False).logits[0].double()
    return logits.log_softmax(-1)[start - 1 : end - 1].gather(1, ids[start:, None]).squeeze(1)


@pytest.mark.parametrize("model_type", EXPECTED)
def test_sampled_log_probabilities_are_those_of_each_sequence_alone(model_type) -> None:
    policy = policy_of(model_type)
    assert decoding_of(policy) == EXPECTED[model_type]
    with torch.no_grad():  # responses end early, so that rows leave the batch
        policy.get_output_embeddings().weight[END] = policy.get_output_embeddings().weight[3:40].mean(0)
    samples = sample(
        policy,
        prompts_of(11, 4, 11, 7),
        max_new_tokens=10,
        generator=torch.Generator().manual_seed(0),
        samples_per_prompt=6,
    )
    sequences, read = samples.sequences, log_probs_of(policy, samples.sequences)
    assert sequences.starts_B.tolist() == [length for length in (11, 4, 11, 7) for _ in range(6)]
    for row in range(len(sequences)):
        expected = alone(policy, sequences, row)
        for measured in (samples.log_probs_BR, read):
            torch.testing.assert_close(measured[row, : len(expected)].double(), expected, atol=1e-4, rtol=0)
            assert not measured[row, len(expected) :].any()


@pytest.mark.parametrize("model_type", ["mamba", "qwen3_5_text", "recurrent_gemma"])
def test_kl_is_that_of_each_sequence_alone(model_type) -> None:
    policy, initial = policy_of(model_type), policy_of(model_type, seed=1)
    sequences = sample(
        policy, prompts_of(9, 3, 5), max_new_tokens=6, generator=torch.Generator().manual_seed(1)
    ).sequences
    measured = measure_kl(policy, initial, sequences).kl_B
    for row in range(len(sequences)):
        start, end = int(sequences.starts_B[row]), int(sequences.ends_B[row])
        with torch.no_grad():
            p, q = (
                model(input_ids=sequences.ids_BT[row, None, :end], use_cache=False)
                .logits[0, start - 1 : end - 1]
                .double()
                for model in (policy, initial)
            )
        p, q = p.log_softmax(-1), q.log_softmax(-1)
        assert float(measured[row]) == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-4)


@pytest.mark.parametrize("model_type", ["qwen3_5_text", "falcon_mamba"])
def test_a_policy_without_plain_attention_is_evaluated_while_it_is_trained(model_type) -> None:
    tokenizer = byte_tokenizer(280, chat=True)
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    policy, moved = (policy_of(model_type, seed, **ids) for seed in (0, 1))
    evaluator = PolicyEvaluator(
        policy, PromptFormat(tokenizer, 6), ["Hello!", "And where is the cable?", "So?"], as_words, as_words,
        samples_per_prompt=60,
    )  # fmt: skip
    assert evaluator.measure(policy, 0).kl == 0
    point = evaluator.measure(moved, 1)
    assert (
        point.kl > 0.3 and abs(point.diagnostics["kl_disagreement"]) < 4
    )  # standard errors from the sampled log-ratios


@pytest.mark.parametrize("model_type", ["mamba", "openai-gpt"])
def test_first_tokens_follow_the_distribution_of_the_model(model_type) -> None:
    policy, prompts, count = policy_of(model_type), prompts_of(6, 3), 4000
    samples = sample(
        policy, prompts, max_new_tokens=1, generator=torch.Generator().manual_seed(0), samples_per_prompt=count
    )
    first_BR = samples.sequences.response_ids_BR
    for row, length in enumerate((6, 3)):
        with torch.no_grad():
            p_V = policy(input_ids=prompts.ids_PT[row, None, :length], use_cache=False).logits[0, -1].softmax(-1)
        drawn_V = torch.bincount(first_BR[row * count : (row + 1) * count, 0], minlength=VOCABULARY) / count
        assert float((drawn_V - p_V).abs().sum()) < 2 * float((p_V * (1 - p_V) / count).sqrt().sum())


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlnet"])
def test_a_model_that_reads_later_tokens_is_refused_in_one_line(model_type) -> None:
    with pytest.raises(UserError, match=r"^policy=./it: must be a causal language model, but predictions .* depend on"):
        decoding_of(policy_of(model_type), "policy=./it")


def test_an_encoder_that_was_trained_as_a_decoder_is_read() -> None:
    assert decoding_of(policy_of("bert", is_decoder=True)) == TOGETHER
    assert decoding_of(policy_of("roberta", is_decoder=True)) in (APART, AGAIN)  # its positions begin behind padding


def test_a_model_that_needs_more_than_token_ids_is_refused_in_one_line() -> None:
    policy = policy_of("llama")
    policy.forward = None
    with pytest.raises(UserError, match=r"^policy: must predict the next token from token ids alone, but LlamaFor"):
        decoding_of(policy)


def test_masked_words_do_not_hide_how_a_model_is_read() -> None:
    policy = policy_of("llama")
    policy.lm_head.register_forward_hook(
        lambda module, inputs, logits: logits.index_fill(-1, torch.tensor([5]), -torch.inf)
    )
    assert decoding_of(policy) == TOGETHER
