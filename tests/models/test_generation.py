"""Sampling draws from the policy itself: checked against every possible response, written out with its probability."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from transformers import PreTrainedModel

from mlproject.models import generation
from mlproject.models.generation import Samples, sample, sample_responses
from mlproject.models.log_probs import response_logits, token_log_probs
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.sequences import Prompts, encode_prompts

TEXTS = ["yes", "no no yes maybe no", "maybe yes", "yes yes yes yes yes yes no"]


def draw(policy: PreTrainedModel, prompts: Prompts, seed: int = 0, **options) -> Samples:
    options = {"max_new_tokens": 6, **options}
    return sample(policy, prompts, generator=torch.Generator().manual_seed(seed), **options)


def responses_of(samples: Samples) -> list[tuple[int, ...]]:
    rows = zip(samples.sequences.response_ids_BR.tolist(), samples.sequences.response_lengths_B.tolist(), strict=True)
    return [tuple(row[:length]) for row, length in rows]


def log_probs_one_by_one(policy: PreTrainedModel, samples: Samples, temperature: float = 1.0) -> torch.Tensor:
    """The long way: each response alone, without padding or cache."""
    log_probs_BR = torch.zeros(samples.log_probs_BR.shape)
    for b, (ids, start, end) in enumerate(
        zip(samples.sequences.ids_BT, samples.sequences.starts_B, samples.sequences.ends_B, strict=True)
    ):
        with torch.no_grad():
            log_p = torch.log_softmax(policy(input_ids=ids[None, :end]).logits[0].double() / temperature, dim=-1)
        for r, t in enumerate(range(int(start), int(end))):
            log_probs_BR[b, r] = log_p[t - 1, ids[t]]
    return log_probs_BR


@pytest.fixture(params=[0.0, 0.8, 2.0], ids=["rows never dropped", "rows dropped", "rows dropped at once"])
def compaction(request, monkeypatch) -> float:
    monkeypatch.setattr(generation, "_COMPACT_BELOW", request.param)
    return request.param


def test_log_probs_of_samples_are_those_of_a_full_forward_pass(tiny_policy, tiny_tokenizer) -> None:
    policy = tiny_policy()
    samples = draw(policy, encode_prompts(tiny_tokenizer, TEXTS), samples_per_prompt=40)
    with torch.no_grad():
        logits_BRV = response_logits(policy, samples.sequences)
    full_BR = token_log_probs(logits_BRV, samples.sequences.response_ids_BR, samples.sequences.response_mask_BR)
    torch.testing.assert_close(samples.log_probs_BR, full_BR, atol=1e-4, rtol=0)


def test_values_are_read_from_the_hidden_states_before_each_token(tiny_policy, tiny_tokenizer, compaction) -> None:
    policy, prompts = tiny_policy(), encode_prompts(tiny_tokenizer, TEXTS)
    weight_H = torch.randn(policy.config.hidden_size, generator=torch.Generator().manual_seed(1))
    samples = draw(policy, prompts, samples_per_prompt=10, value_of=lambda hidden_BH: hidden_BH @ weight_H)
    expected_BR = torch.zeros(samples.values_BR.shape)
    for b, (ids, start, end) in enumerate(
        zip(samples.sequences.ids_BT, samples.sequences.starts_B, samples.sequences.ends_B, strict=True)
    ):
        with torch.no_grad():
            hidden_TH = policy.base_model(input_ids=ids[None, :end]).last_hidden_state[0]
        expected_BR[b, : end - start] = (hidden_TH @ weight_H)[start - 1 : end - 1]
    torch.testing.assert_close(samples.values_BR, expected_BR, atol=1e-4, rtol=1e-4)
    assert expected_BR.std() > 0.1
    without = draw(policy, prompts, samples_per_prompt=10)  # asking for values changes no sample
    assert torch.equal(samples.sequences.ids_BT, without.sequences.ids_BT) and not without.values_BR.any()


def test_a_prompt_gets_the_same_distribution_beside_longer_ones_as_alone(
    tiny_policy, tiny_tokenizer, compaction
) -> None:
    policy = tiny_policy(seed=1)
    samples = draw(policy, encode_prompts(tiny_tokenizer, TEXTS), samples_per_prompt=15)
    torch.testing.assert_close(samples.log_probs_BR, log_probs_one_by_one(policy, samples), atol=1e-4, rtol=0)


def test_log_probs_at_another_temperature_are_those_of_the_divided_logits(tiny_policy, tiny_tokenizer) -> None:
    policy = tiny_policy(seed=1)
    samples = draw(policy, encode_prompts(tiny_tokenizer, TEXTS), samples_per_prompt=5, temperature=0.5)
    torch.testing.assert_close(samples.log_probs_BR, log_probs_one_by_one(policy, samples, 0.5), atol=1e-4, rtol=0)


def test_samples_follow_the_exact_distribution_over_all_responses(
    tiny_policy, tiny_tokenizer, enumerate_responses, compaction
) -> None:
    policy, count = tiny_policy(seed=2, eos=2.0), 20_000
    prompts = encode_prompts(tiny_tokenizer, ["no yes", "maybe no no yes"])
    samples = draw(policy, prompts, max_new_tokens=3, samples_per_prompt=count)
    responses = responses_of(samples)
    for p, length in enumerate(prompts.lengths_P.tolist()):
        exact = enumerate_responses(policy, prompts.ids_PT[p, :length].tolist(), 3)
        counts = Counter(responses[p * count : (p + 1) * count])
        assert set(counts) <= set(exact)
        frequent = [y for y, probability in exact.items() if count * probability >= 5]
        cells = [(counts[y], count * exact[y]) for y in frequent]
        cells.append((count - sum(s for s, _ in cells), count - sum(e for _, e in cells)))  # all the rest in one cell
        chi_square = sum((s - e) ** 2 / e for s, e in cells if e > 0)
        freedom = len(cells) - 1
        assert freedom > 50
        assert abs(chi_square - freedom) < 4.5 * math.sqrt(2 * freedom)


def test_the_same_seed_gives_the_same_samples_and_another_seed_others(tiny_policy, tiny_tokenizer) -> None:
    policy, prompts = tiny_policy(), encode_prompts(tiny_tokenizer, TEXTS)
    first, again, other = (draw(policy, prompts, seed, samples_per_prompt=10) for seed in (3, 3, 4))
    assert torch.equal(first.sequences.ids_BT, again.sequences.ids_BT)
    assert torch.equal(first.log_probs_BR, again.log_probs_BR)
    assert responses_of(first) != responses_of(other)


def test_an_end_of_sequence_is_the_last_token_and_only_full_responses_lack_it(
    tiny_policy, tiny_tokenizer, compaction
) -> None:
    policy = tiny_policy(seed=2, eos=2.0)
    samples = draw(policy, encode_prompts(tiny_tokenizer, TEXTS), samples_per_prompt=100)
    eos, pad = policy.config.eos_token_id, policy.config.pad_token_id
    responses = responses_of(samples)
    assert {len(response) for response in responses} >= {1, 2, 3, 6}
    for b, response in enumerate(responses):
        assert eos not in response[:-1]
        assert response[-1] == eos or len(response) == 6
        assert (samples.sequences.ids_BT[b, samples.sequences.ends_B[b] :] == pad).all()
        assert (samples.log_probs_BR[b, len(response) :] == 0).all()
        assert (samples.log_probs_BR[b, : len(response)] < 0).all()


def test_samples_of_a_prompt_stand_side_by_side_behind_that_prompt(tiny_policy, tiny_tokenizer) -> None:
    prompts = encode_prompts(tiny_tokenizer, TEXTS)
    sequences = draw(tiny_policy(), prompts, samples_per_prompt=3).sequences
    for b in range(len(sequences)):
        length = int(prompts.lengths_P[b // 3])
        assert int(sequences.starts_B[b]) == length
        assert torch.equal(sequences.ids_BT[b, :length], prompts.ids_PT[b // 3, :length])


def test_responses_in_batches_are_those_of_one_generator_and_carry_their_log_probabilities(
    tiny_policy, tiny_tokenizer
) -> None:
    policy, prompt_format, shares = tiny_policy(), PromptFormat(tiny_tokenizer, 6), []
    responses = sample_responses(
        policy, prompt_format, TEXTS, generator=torch.Generator().manual_seed(0), samples_per_prompt=3,
        temperature=1.3, batch_size=7, progress=shares.append,
    )  # fmt: skip
    generator, texts, log_probs = torch.Generator().manual_seed(0), [], []
    for pair in (TEXTS[:2], TEXTS[2:]):  # the most prompts of which 3 samples each are no more than 7
        samples = sample(
            policy, encode_prompts(tiny_tokenizer, pair), max_new_tokens=6, generator=generator, samples_per_prompt=3,
            temperature=1.3,
        )  # fmt: skip
        texts += prompt_format.decode(samples.sequences)
        log_probs += samples.log_probs_BR.sum(1).tolist()
    assert responses.texts == texts and responses.log_prob_B.tolist() == log_probs
    assert responses.prompts == [text for text in TEXTS for _ in range(3)] and shares == [0, 0.5]
    some = responses.select(torch.tensor([5, 0]))
    assert some.texts == [texts[5], texts[0]] and some.log_prob_B.tolist() == [log_probs[5], log_probs[0]]


def test_responses_are_sampled_at_once_or_a_prompt_at_a_time_at_least(tiny_policy, tiny_tokenizer, monkeypatch) -> None:
    batches: list[int] = []

    def counting(policy, prompts, **options):
        batches.append(len(prompts))
        return sample(policy, prompts, **options)

    monkeypatch.setattr(generation, "sample", counting)
    for batch_size in (None, 1):
        sample_responses(
            tiny_policy(), PromptFormat(tiny_tokenizer, 2), TEXTS, generator=torch.Generator().manual_seed(0),
            samples_per_prompt=5, batch_size=batch_size,
        )  # fmt: skip
    assert batches == [4, 1, 1, 1, 1]
