"""Predictions for response tokens are those of the whole model, whatever it does to its logits."""

from __future__ import annotations

import pytest
import torch
import transformers
from tests.support.architectures import END, PAD, tiny_model

from mlproject.models.response_logits import read_responses, reading_of
from mlproject.models.sequences import Sequences, sequences_from_rows

PLAIN = {
    "gpt_neox": (True, {}),
    "llama": (True, {}),
    "gemma2": (False, {"final_logit_softcapping": 2.0}),
    "granite": (False, {"logits_scaling": 4.0}),
    "cohere": (False, {"logit_scale": 0.25}),
    "openai-gpt": (True, {}),
}
"""Whether the logits are the output layer of the last hidden states, and the options under which they are not."""


def policy_of(model_type: str) -> transformers.PreTrainedModel:
    model = tiny_model(transformers.AutoModelForCausalLM, model_type, 0, **PLAIN[model_type][1])
    model.config.eos_token_id, model.config.pad_token_id = END, PAD
    return model.eval()


def some_sequences() -> Sequences:
    rows = [[5, 6, 7, 8, 9, 4, 3], [9, 8, 7, 6], [3, 4, 5, 6, 7, 8]]
    return sequences_from_rows(rows, [2, 3, 4], PAD)


@pytest.mark.parametrize("model_type", PLAIN)
def test_a_model_that_changes_its_logits_is_known_and_read_as_a_whole(model_type) -> None:
    policy, sequences = policy_of(model_type), some_sequences()
    assert reading_of(policy).plain_head == PLAIN[model_type][0]
    with torch.no_grad():
        hidden_BRH, logits_BRV = read_responses(policy, sequences)
        for b, (start, end) in enumerate(zip(sequences.starts_B.tolist(), sequences.ends_B.tolist(), strict=True)):
            alone = policy(input_ids=sequences.ids_BT[b : b + 1, :end], use_cache=False, output_hidden_states=True)
            expected = alone.logits[0, start - 1 : end - 1], alone.hidden_states[-1][0, start - 1 : end - 1]
            torch.testing.assert_close(logits_BRV[b, : end - start], expected[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(hidden_BRH[b, : end - start], expected[1], atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_the_whole_model() -> None:
    policy, sequences = policy_of("gpt_neox"), some_sequences()
    weight_BRV = torch.randn(read_responses(policy, sequences)[1].shape, generator=torch.Generator().manual_seed(0))
    weight_BRV[~sequences.response_mask_BR] = 0

    def gradients(logits_BRV: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad((logits_BRV * weight_BRV).sum(), list(policy.parameters())))

    whole_BTV = policy(input_ids=sequences.ids_BT, use_cache=False).logits
    by_hand_BRV = torch.zeros_like(weight_BRV)
    for b, (start, end) in enumerate(zip(sequences.starts_B.tolist(), sequences.ends_B.tolist(), strict=True)):
        by_hand_BRV[b, : end - start] = whole_BTV[b, start - 1 : end - 1]
    for got, expected in zip(gradients(read_responses(policy, sequences)[1]), gradients(by_hand_BRV), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_what_stands_for_a_model_is_read_as_a_whole() -> None:
    policy = policy_of("gpt_neox")

    class Standing:
        def __getattr__(self, name: str) -> object:
            return getattr(policy, name)

        def __call__(self, **inputs: object) -> object:
            assert "logits_to_keep" not in inputs
            return policy(**inputs)

    assert not reading_of(Standing()).plain_head
    with torch.no_grad():
        hidden_BRH, logits_BRV = read_responses(Standing(), some_sequences())
        own_BRH, own_BRV = read_responses(policy, some_sequences())
    torch.testing.assert_close(logits_BRV, own_BRV)
    torch.testing.assert_close(hidden_BRH, own_BRH)
