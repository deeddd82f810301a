"""Whether a penalty does anything: its coefficient is doubled, and loss and gradient must change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mlproject.errors import UserError

_LEAST = 1e-6
"""Share of a loss, or of the norm of a gradient, below which a change is taken for rounding."""


class Change(NamedTuple):
    """What doubling a coefficient changes.

    Attributes:
        loss: change of the loss, as a share of the larger one.
        gradient: norm of the change of the gradient, likewise.
    """

    loss: float
    gradient: float


def change_when_doubled(loss_and_gradient: Callable[[float], tuple[float, Sequence[Tensor]]], coef: float) -> Change:
    """Measure a penalty.

    Args:
        loss_and_gradient: of the same data for any coefficient; the gradient as any number of tensors.
        coef: the coefficient, above 0.
    """
    (loss, gradient), (other_loss, other_gradient) = loss_and_gradient(coef), loss_and_gradient(2 * coef)
    difference = [b - a for a, b in zip(gradient, other_gradient, strict=True)]
    largest = max(_norm(gradient), _norm(other_gradient), torch.finfo(torch.float32).tiny)
    size = max(abs(loss), abs(other_loss), torch.finfo(torch.float32).tiny)
    return Change(abs(other_loss - loss) / size, _norm(difference) / largest)


def check_change(change: Change, name: str, coef: float, of: str) -> Change:
    """The change, where the penalty holds the policy.

    Args:
        change: what doubling the coefficient changed.
        name: of the coefficient.
        coef: its value.
        of: whose loss it is.

    Raises:
        UserError: where the gradient does not change.
    """
    if change.gradient > _LEAST:
        return change
    what = "neither its loss nor the gradient changes" if change.loss <= _LEAST else "its gradient does not change"
    raise UserError(
        f"{name}={coef:g}: must hold the policy, but does nothing in {of}: when it is doubled, {what}. Set it to 0, or "
        "choose a loss that has it."
    )


def _norm(tensors: Sequence[Tensor]) -> float:
    if not tensors:
        return 0.0
    return float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(each.float()) for each in tensors])))
