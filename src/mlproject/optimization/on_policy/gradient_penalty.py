"""Gradient regularization: prefer places where the loss is flat (Ackermann et al. 2026, arXiv:2602.18037).

The gradient of L + (gamma / 2) |grad L|^2 is g + gamma H g; the product with the Hessian is a difference of two
gradients on the same rollouts, one of them a small step up the first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_STEP = 1e-3
_LARGEST_NORM = 10.0
"""Of the first gradient, in the step."""


def regularize_gradient(policy: PreTrainedModel, add_gradient: Callable[[], object], strength: float) -> None:
    """Add the gradient of half the squared norm of the gradient, which the policy's parameters hold.

    Embeddings and output layer are left out, as in the authors' code: only few of their rows are in a minibatch.

    Args:
        policy: its parameters hold the gradient of the loss.
        add_gradient: adds the gradient of the same loss at the current parameters once more.
        strength: gamma.
    """
    layers = (policy.get_input_embeddings(), policy.get_output_embeddings())
    left_out = {id(p) for layer in layers if layer is not None for p in layer.parameters()}
    every = [p for p in policy.parameters() if p.grad is not None]
    moved = [p for p in every if id(p) not in left_out]
    if not moved:
        return
    first = {p: p.grad.clone() for p in every if p.grad is not None}
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(first[p]) for p in moved]))
    step = _STEP * (_LARGEST_NORM / norm.clamp(min=_LARGEST_NORM))
    start = {p: p.detach().clone() for p in moved}
    with torch.no_grad():
        for p in moved:
            p.add_(step * first[p])
    second = _gradient_there(policy, every, add_gradient)
    with torch.no_grad():
        for p in moved:
            p.copy_(start[p])
    for p in every:
        is_moved = p in start
        p.grad = first[p] + (strength / step) * (second[p] - first[p]) if is_moved else first[p]


def _gradient_there(
    policy: PreTrainedModel, parameters: list[torch.nn.Parameter], add_gradient: Callable[[], object]
) -> dict[torch.nn.Parameter, Tensor]:
    for p in parameters:
        p.grad = None
    add_gradient()
    return {p: p.grad.clone() for p in parameters if p.grad is not None}
