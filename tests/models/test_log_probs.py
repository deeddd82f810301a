"""KL between policies: against numpy written the long way, and against the sum over every possible response."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import CausalLMOutput

from mlproject.estimators import kl_from_logits
from mlproject.models import log_probs
from mlproject.models.generation import sample
from mlproject.models.log_probs import (
    entropy_per_response,
    kl_per_response,
    measure_kl,
    response_logits,
    token_log_probs,
)
from mlproject.models.sequences import encode, encode_prompts


def random_logits(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a_BRV, b_BRV = (3 * torch.randn(5, 4, 8, generator=generator) for _ in range(2))
    return a_BRV, b_BRV, torch.arange(4) < torch.tensor([1, 4, 2, 3, 4])[:, None]


def test_kl_of_a_response_is_the_sum_of_its_tokens_divergences() -> None:
    a_BRV, b_BRV, mask_BR = random_logits(0)
    expected_BR = kl_from_logits(a_BRV.numpy(), b_BRV.numpy())
    expected_B = [sum(expected_BR[b, r] for r in range(4) if mask_BR[b, r]) for b in range(5)]
    np.testing.assert_allclose(kl_per_response(a_BRV, b_BRV, mask_BR).numpy(), expected_B, rtol=1e-5)


def test_kl_is_zero_for_identical_policies_and_positive_for_different_ones() -> None:
    a_BRV, b_BRV, mask_BR = random_logits(1)
    assert (kl_per_response(a_BRV, a_BRV, mask_BR) == 0).all()
    assert (kl_per_response(a_BRV, a_BRV + 5, mask_BR).abs() < 1e-5).all()
    assert (kl_per_response(a_BRV, b_BRV, mask_BR) > 0).all()


def test_token_log_probs_are_the_log_softmax_at_the_token() -> None:
    logits_BRV, _, mask_BR = random_logits(2)
    ids_BR = torch.randint(8, (5, 4), generator=torch.Generator().manual_seed(0))
    got_BR = token_log_probs(logits_BRV, ids_BR, mask_BR).numpy()
    for b in range(5):
        for r in range(4):
            row = logits_BRV[b, r].double().numpy()
            expected = row[ids_BR[b, r]] - math.log(np.exp(row).sum()) if mask_BR[b, r] else 0.0
            assert got_BR[b, r] == pytest.approx(expected, abs=1e-5)


def test_response_logits_stand_one_position_before_their_tokens(tiny_policy, tiny_tokenizer) -> None:
    policy = tiny_policy()
    sequences = encode(tiny_tokenizer, ["yes", "no no maybe"], ["no maybe yes", "yes"], max_response_tokens=9)
    with torch.no_grad():
        logits_BRV = response_logits(policy, sequences)
        for b, (start, end) in enumerate(zip(sequences.starts_B.tolist(), sequences.ends_B.tolist(), strict=True)):
            for r, t in enumerate(range(start, end)):
                alone_V = policy(input_ids=sequences.ids_BT[b : b + 1, :t]).logits[0, -1]
                torch.testing.assert_close(logits_BRV[b, r], alone_V, atol=1e-5, rtol=0)


def test_measured_kl_averages_to_the_exact_divergence_over_all_responses(
    tiny_policy, tiny_tokenizer, enumerate_responses
) -> None:
    policy, initial, count = tiny_policy(seed=1), tiny_policy(seed=2), 20_000
    prompts = encode_prompts(tiny_tokenizer, ["no yes", "maybe yes no no"])
    generator = torch.Generator().manual_seed(0)
    sequences = sample(policy, prompts, max_new_tokens=3, generator=generator, samples_per_prompt=count).sequences
    kl_B, log_ratio_BR, _ = measure_kl(policy, initial, sequences)
    kl_PN, k1_PN = (values_B.view(2, count).numpy() for values_B in (kl_B, log_ratio_BR.sum(1)))
    for p, length in enumerate(prompts.lengths_P.tolist()):
        prompt = prompts.ids_PT[p, :length].tolist()
        new, old = enumerate_responses(policy, prompt, 3), enumerate_responses(initial, prompt, 3)
        exact = sum(probability * math.log(probability / old[y]) for y, probability in new.items())
        se = kl_PN[p].std() / math.sqrt(count)
        assert se < 0.01 * exact
        assert abs(kl_PN[p].mean() - exact) < 4 * se
        assert abs(k1_PN[p].mean() - exact) < 4 * k1_PN[p].std() / math.sqrt(count)


def test_entropy_of_a_response_is_the_sum_over_its_tokens_of_minus_p_log_p() -> None:
    logits_BRV, _, mask_BR = random_logits(3)
    logits_BRV[0, 0, 0] = -math.inf  # a token that cannot come adds nothing
    got_B = entropy_per_response(logits_BRV, mask_BR).numpy()
    for b in range(5):
        expected = 0.0
        for r in range(4):
            row = np.exp(logits_BRV[b, r].double().numpy())
            expected -= sum(p * math.log(p) for p in row / row.sum() if p > 0) if mask_BR[b, r] else 0.0
        assert got_B[b] == pytest.approx(expected, abs=1e-5)


def test_measured_entropy_averages_to_that_of_all_responses_enumerated(
    tiny_policy, tiny_tokenizer, enumerate_responses
) -> None:
    policy, count = tiny_policy(seed=1), 20_000
    prompts = encode_prompts(tiny_tokenizer, ["no yes"])
    generator = torch.Generator().manual_seed(0)
    sequences = sample(policy, prompts, max_new_tokens=3, generator=generator, samples_per_prompt=count).sequences
    entropy_B = measure_kl(policy, tiny_policy(seed=2), sequences).entropy_B.numpy()
    exact = -sum(p * math.log(p) for p in enumerate_responses(policy, prompts.ids_PT[0].tolist(), 3).values())
    assert abs(entropy_B.mean() - exact) < 4 * entropy_B.std() / math.sqrt(count)
    assert entropy_B.std() / math.sqrt(count) < 0.01 * exact


def test_measuring_in_batches_gives_every_row_its_own_kl(tiny_policy, tiny_tokenizer) -> None:
    policy, initial = tiny_policy(seed=1), tiny_policy(seed=2)
    prompts = encode_prompts(tiny_tokenizer, ["no", "maybe yes no no"])
    generator = torch.Generator().manual_seed(0)
    sequences = sample(policy, prompts, max_new_tokens=4, generator=generator, samples_per_prompt=100).sequences
    kl_B = measure_kl(policy, initial, sequences).kl_B
    assert measure_kl(policy, policy, sequences).kl_B.max() == 0
    for b in range(0, len(sequences), 20):
        start, end = int(sequences.starts_B[b]), int(sequences.ends_B[b])
        with torch.no_grad():
            input_ids = sequences.ids_BT[b : b + 1, :end]
            new_RV, old_RV = (model(input_ids).logits[0, start - 1 : end - 1].numpy() for model in (policy, initial))
        assert float(kl_B[b]) == pytest.approx(kl_from_logits(new_RV, old_RV).sum(), abs=1e-5)


def test_log_probs_and_kl_in_pieces_are_those_of_the_whole(tiny_policy, tiny_tokenizer, monkeypatch) -> None:

    policy, initial = tiny_policy(seed=1, eos=2.0), tiny_policy(seed=2)
    prompts = encode_prompts(tiny_tokenizer, ["yes", "no maybe no", "maybe"])
    generator = torch.Generator().manual_seed(0)
    drawn = sample(policy, prompts, max_new_tokens=7, generator=generator, samples_per_prompt=5)
    whole = log_probs.log_probs_of(policy, drawn.sequences), log_probs.measure_kl(policy, initial, drawn.sequences).kl_B
    torch.testing.assert_close(whole[0], drawn.log_probs_BR, atol=1e-5, rtol=1e-5)
    width = drawn.sequences.ids_BT.shape[1]
    monkeypatch.setattr(log_probs, "MAX_LOGITS", 4 * width * policy.config.vocab_size + 1)
    assert log_probs.rows_that_fit(policy, drawn.sequences) == 4
    pieces = (
        log_probs.log_probs_of(policy, drawn.sequences),
        log_probs.measure_kl(policy, initial, drawn.sequences).kl_B,
    )
    for a, b in zip(pieces, whole, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(log_probs, "MAX_LOGITS", 1)
    assert log_probs.rows_that_fit(policy, drawn.sequences) == 1


def kl_the_long_way(row_V: np.ndarray, other_V: np.ndarray) -> float:
    """KL of two distributions given by logits, over the tokens that the first allows, in float64."""
    p, q = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (row_V.astype(np.float64), other_V.astype(float)))
    with np.errstate(divide="ignore"):
        return sum(math.inf if q[v] == 0 else p[v] * math.log(p[v] / q[v]) for v in range(len(p)) if p[v] > 0)


@pytest.mark.parametrize("excluded", ["both", "policy", "neither"])
def test_tokens_that_are_excluded_add_nothing_to_the_kl(excluded: str) -> None:
    a_BRV, b_BRV, mask_BR = random_logits(0)
    if excluded != "neither":
        a_BRV[..., -3:] = -math.inf
    if excluded == "both":
        b_BRV[..., -3:] = -math.inf
    expected_BR = [[kl_the_long_way(a_BRV[b, r].numpy(), b_BRV[b, r].numpy()) for r in range(4)] for b in range(5)]
    np.testing.assert_allclose(kl_from_logits(a_BRV.numpy(), b_BRV.numpy()), expected_BR)
    expected_B = (np.array(expected_BR) * mask_BR.numpy()).sum(axis=1)
    np.testing.assert_allclose(kl_per_response(a_BRV, b_BRV, mask_BR).numpy(), expected_B, rtol=1e-5)
    assert entropy_per_response(a_BRV, mask_BR).isfinite().all()


@pytest.mark.parametrize("logit", [0.0, -500.0])
def test_kl_is_infinite_where_the_initial_policy_excludes_what_the_policy_allows(logit: float) -> None:
    a_BRV, b_BRV, mask_BR = random_logits(0)
    a_BRV[0, 0, 0], b_BRV[0, 0, 0] = logit, -math.inf  # also where the policy's probability is too small to be written
    kl_B = kl_per_response(a_BRV, b_BRV, mask_BR)
    assert kl_B[0] == math.inf and kl_B[1:].isfinite().all()
    assert kl_from_logits(a_BRV[0, 0].numpy(), b_BRV[0, 0].numpy()) == math.inf


def test_nan_logits_are_never_taken_for_an_excluded_token() -> None:
    a_BRV, b_BRV, mask_BR = random_logits(0)
    a_BRV[2, 1, 3] = math.nan
    assert kl_per_response(a_BRV, b_BRV, mask_BR).isnan().tolist() == [False, False, True, False, False]
    assert math.isnan(kl_from_logits(a_BRV[2, 1].numpy(), b_BRV[2, 1].numpy()))


def test_the_kl_of_policies_with_a_masked_vocabulary_is_that_over_the_rest(tiny_policy, tiny_tokenizer) -> None:
    policy, initial = tiny_policy(seed=1), tiny_policy(seed=2)

    def exclude(module: torch.nn.Module, inputs: object, output: CausalLMOutput) -> None:
        output.logits[..., 5] = -math.inf

    for each in (policy, initial):
        each.register_forward_hook(exclude)
    prompts = encode_prompts(tiny_tokenizer, ["yes", "no"] * 8)
    drawn = sample(policy, prompts, max_new_tokens=5, generator=torch.Generator().manual_seed(0))
    divergence = measure_kl(policy, initial, drawn.sequences)
    with torch.no_grad():
        logits = [response_logits(each, drawn.sequences).numpy() for each in (policy, initial)]
    for b, length in enumerate(drawn.sequences.response_lengths_B.tolist()):
        expected = sum(kl_the_long_way(logits[0][b, r], logits[1][b, r]) for r in range(length))
        assert float(divergence.kl_B[b]) == pytest.approx(expected, rel=1e-5)
    assert divergence.log_ratio_BR.isfinite().all() and divergence.entropy_B.isfinite().all()
