"""Adapters change what they should, and what is saved knows nothing of them."""

from __future__ import annotations

import builtins

import pytest
import torch
from transformers import AutoModelForCausalLM

from mlproject.errors import UserError
from mlproject.models.lora import add_adapters, merged_weights
from mlproject.models.reward_model import content_hash

IDS_BT = torch.tensor([[5, 6, 7, 5, 6], [7, 7, 5, 6, 5]])


@pytest.fixture
def adapted(tiny_policy):
    torch.manual_seed(0)
    policy = tiny_policy(seed=1)
    add_adapters(policy, rank=2)
    return policy


def logits(policy) -> torch.Tensor:
    with torch.no_grad():
        return policy(input_ids=IDS_BT, use_cache=False).logits


def moved(policy):
    with torch.no_grad():
        for p in policy.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    return policy


def test_new_adapters_change_nothing_and_are_all_that_is_trained(adapted, tiny_policy) -> None:
    assert torch.equal(logits(adapted), logits(tiny_policy(seed=1)))
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained and all(".lora_" in name for name in trained)
    layers = adapted.config.num_hidden_layers
    assert len(trained) == 2 * 4 * layers  # A and B at the four linear layers of each block
    assert not [name for name in trained if "embed" in name]


def test_merged_weights_are_an_ordinary_model_that_says_the_same(adapted, tiny_policy, tmp_path) -> None:
    before = logits(adapted)
    moved(adapted)
    plain = tiny_policy(seed=1)
    weights = merged_weights(adapted)
    assert set(weights) == set(plain.state_dict())
    plain.load_state_dict(weights)
    assert float((logits(adapted) - before).abs().max()) > 0.1
    torch.testing.assert_close(logits(plain), logits(adapted), atol=1e-5, rtol=1e-5)
    plain.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("adapter*"))
    torch.testing.assert_close(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path).eval()), logits(adapted), atol=1e-5, rtol=1e-5
    )


def test_the_change_of_a_weight_is_twice_the_product_of_its_adapter(adapted, tiny_policy) -> None:
    moved(adapted)
    name = "gpt_neox.layers.0.mlp.dense_h_to_4h"
    layer, before = adapted.get_submodule(name), tiny_policy(seed=1).get_submodule(name).weight
    product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    torch.testing.assert_close(merged_weights(adapted)[f"{name}.weight"] - before, 2 * product, atol=1e-6, rtol=1e-5)


def test_a_policy_without_adapters_is_its_own_merged_state(tiny_policy) -> None:
    policy = tiny_policy(seed=1)
    before = content_hash(policy)
    assert all(
        torch.equal(a, b) for a, b in zip(merged_weights(policy).values(), policy.state_dict().values(), strict=True)
    )
    assert content_hash(policy) == before


def test_without_peft_one_line_says_what_to_install(tiny_policy, monkeypatch) -> None:
    real = builtins.__import__

    def without_peft(name, *rest):
        if name == "peft":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_peft)
    with pytest.raises(
        UserError, match=r"lora_rank=4: must have peft installed. Run pip install 'mlproject"
    ) as refused:
        add_adapters(tiny_policy(), rank=4)
    assert "\n" not in str(refused.value)
