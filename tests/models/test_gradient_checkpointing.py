"""Recomputed layers: the same numbers, computed twice, and nothing else changed."""

from __future__ import annotations

import torch

from mlproject.models.gradient_checkpointing import checkpointed_layers

IDS_BT = torch.tensor([[5, 6, 7, 5, 6], [7, 7, 5, 6, 5]])


def gradients(policy, enabled: bool) -> tuple[list[torch.Tensor], int]:
    """Gradient of a loss, and how often the first layer's attention ran."""
    calls = []
    hook = policy.base_model.layers[0].attention.register_forward_hook(lambda *arguments: calls.append(1))
    with checkpointed_layers(policy, enabled):
        loss = policy(input_ids=IDS_BT, use_cache=False).logits.log_softmax(-1)[..., 5].sum()
        grads = torch.autograd.grad(loss, list(policy.parameters()))
    hook.remove()
    return list(grads), len(calls)


def test_layers_are_computed_twice_and_give_the_same_gradient(tiny_policy) -> None:
    policy = tiny_policy(seed=1)
    (plain, once), (recomputed, twice) = gradients(policy, False), gradients(policy, True)
    assert (once, twice) == (1, 2)
    for a, b in zip(plain, recomputed, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_dropout_stays_as_it_was_and_so_does_everything_afterwards(tiny_policy) -> None:
    policy = tiny_policy(seed=1)
    policy.base_model.layers[0].post_attention_dropout.p = 0.9
    plain, _ = gradients(policy, False)
    inside, _ = gradients(policy, True)
    for a, b in zip(plain, inside, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)
    assert not any(module.training for module in policy.modules())
    assert not any(getattr(module, "gradient_checkpointing", False) for module in policy.modules())
