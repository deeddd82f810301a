"""The last layer at the tokens that are read gives what the whole model gives there; the oracle is the whole model."""

from __future__ import annotations

import pytest
import torch
import transformers
from tests.support.architectures import tiny_model
from torch import nn

from mlproject.models.last_layer import hidden_at, trunk_of
from mlproject.models.lora import add_adapters
from mlproject.models.response_logits import read_responses, reading_of
from mlproject.models.scoring import scoring_of
from mlproject.models.sequences import sequences_from_rows

VARIANTS = {
    "parallel": {},
    "sequential": {"use_parallel_residual": False},
    "no bias": {"attention_bias": False},
    "part rotated": {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}},
    "one layer": {"num_hidden_layers": 1},
}


def policy_of(**options) -> transformers.GPTNeoXForCausalLM:
    model = tiny_model(transformers.AutoModelForCausalLM, "gpt_neox", 0, **options)
    for parameter in model.parameters():  # biases start at 0, norms at 1
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


IDS = torch.tensor([[3, 9, 4, 7, 5, 8, 6], [5, 3, 8, 8, 4, 9, 7], [9, 4, 6, 5, 7, 3, 8]])
READ = torch.tensor([[2, 3, 4], [0, 5, 6], [6, 1, 1]])


@pytest.mark.parametrize("variant", VARIANTS)
def test_hidden_states_and_gradients_are_those_of_the_whole_model(variant) -> None:
    policy = policy_of(**VARIANTS[variant])
    trunk = trunk_of(policy)
    assert trunk is not None
    weights = torch.randn(3, 3, trunk.config.hidden_size, generator=torch.Generator().manual_seed(0))
    expected = trunk(input_ids=IDS, use_cache=False).last_hidden_state[torch.arange(3)[:, None], READ]
    got = hidden_at(trunk, IDS, READ)
    torch.testing.assert_close(got, expected, atol=2e-6, rtol=1e-5)
    parameters = list(trunk.parameters())
    for own, theirs in zip(
        *(torch.autograd.grad((x * weights).sum(), parameters) for x in (got, expected)), strict=True
    ):
        torch.testing.assert_close(own, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_tokens_that_a_cache_holds_are_seen(variant) -> None:
    trunk = trunk_of(policy_of(**VARIANTS[variant]))
    with torch.no_grad():
        cache = transformers.DynamicCache(config=trunk.config)
        trunk(input_ids=IDS[:, :3], past_key_values=cache, use_cache=True)
        got = hidden_at(trunk, IDS[:, 3:], READ.clamp(3) - 3, cache)
        whole = trunk(input_ids=IDS, use_cache=False).last_hidden_state
    torch.testing.assert_close(got, whole[torch.arange(3)[:, None], READ.clamp(3)], atol=2e-6, rtol=1e-5)
    assert cache.get_seq_length() == 7


def test_what_follows_the_tokens_that_are_read_does_not_matter() -> None:
    trunk = trunk_of(policy_of())
    with torch.no_grad():
        changed = IDS.clone()
        changed[0, 5:] = 1
        assert torch.equal(hidden_at(trunk, IDS, READ)[0], hidden_at(trunk, changed, READ)[0])
        assert not torch.equal(hidden_at(trunk, IDS, READ), hidden_at(trunk, changed.roll(1, 1), READ))


def test_only_models_that_are_known_are_read_so() -> None:
    eager = policy_of(attn_implementation="eager")
    other = tiny_model(transformers.AutoModelForCausalLM, "llama", 0).eval()
    for policy in (eager, other):
        assert trunk_of(policy) is None and not reading_of(policy).skips_unread
    policy, sequences = policy_of(), sequences_from_rows(IDS.tolist(), [2, 3, 4], 0)
    assert reading_of(policy).skips_unread
    add_adapters(policy, 2)
    assert trunk_of(policy) is None
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    with torch.no_grad():
        whole = policy(input_ids=IDS, use_cache=False).logits
        torch.testing.assert_close(read_responses(policy, sequences)[1][0], whole[0, 1:6], atol=1e-4, rtol=1e-4)


def test_a_layer_that_does_more_is_found_out() -> None:
    policy = policy_of()
    policy.gpt_neox.layers[-1].register_forward_hook(lambda layer, inputs, hidden: hidden.roll(1, -1))
    assert trunk_of(policy) is not None and not reading_of(policy).skips_unread
    reward_model = tiny_model(transformers.AutoModelForSequenceClassification, "gpt_neox", num_labels=1).eval()
    reward_model.gpt_neox.layers[-1].register_forward_hook(lambda layer, inputs, hidden: hidden.roll(1, -1))
    assert trunk_of(reward_model) is not None and not scoring_of(reward_model).skips_unread
