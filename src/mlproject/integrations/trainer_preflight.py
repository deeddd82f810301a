"""A check before a training of TRL's: the KL coefficient of its trainer must change what it does.

Some trainers ship losses that ignore their coefficient, and where the policy is its own reference nobody sees it.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlproject.errors import UserError
from mlproject.optimization.penalty_check import Change, change_when_doubled, check_change

_MOVED = 0.02
"""Noise on each weight for the check, in standard deviations of its tensor."""
_BOOKS = (int, float, dict, list, deque, type(None))
"""Types of the private attributes in which trainers keep counts, metrics and batches."""


def check_penalty(trainer: Any, coefficient: str = "beta") -> Change | None:
    """Double the KL coefficient of a trainer, and see whether loss and gradient change.

    One batch of its data is prepared (completions are sampled, rewards computed) and read twice with the same random
    numbers, by the policy moved a little from its reference. Then weights, random numbers and the trainer's books are
    as before, bit for bit.

    Args:
        trainer: of TRL (GRPO, RLOO, DPO), or another that has such a coefficient, `compute_loss`, `data_collator` and
            `train_dataset`. It has not begun to train.
        coefficient: attribute that holds it.

    Returns:
        the change; None for a coefficient of 0, which asks for no penalty.

    Raises:
        UserError: for a penalty that does nothing, and a trainer without such a coefficient.
    """
    coef = getattr(trainer, coefficient, None)
    if not isinstance(coef, int | float):
        raise UserError(
            f"preflight: must be of a trainer with a coefficient `{coefficient}`, but {type(trainer).__name__} has "
            "none. Name its attribute, coefficient=."
        )
    if coef == 0:
        return None
    model = trainer.model
    parameters = [p for p in model.parameters() if p.requires_grad]
    batch = _batch(trainer)

    def loss_and_gradient(value: float) -> tuple[float, Sequence[Tensor]]:
        _set(trainer, coefficient, value)
        with _random_numbers(0):
            loss = trainer.compute_loss(model, trainer._prepare_inputs(copy.deepcopy(batch)))
        gradient = torch.autograd.grad(loss, parameters, allow_unused=True)
        return float(loss.detach()), [
            torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradient, strict=True)
        ]

    was_training = model.training
    with _books_kept(trainer), _moved(parameters):
        try:
            model.eval()
            change = change_when_doubled(loss_and_gradient, float(coef))
        finally:
            _set(trainer, coefficient, coef)
            model.train(was_training)
    return check_change(change, coefficient, float(coef), type(trainer).__name__)


def _batch(trainer: Any) -> Any:
    """A batch as the trainer's data gives it, each prompt as often as it is answered."""
    size, times = trainer.args.per_device_train_batch_size, getattr(trainer, "num_generations", 1)
    rows = [trainer.train_dataset[i // times] for i in range(max(size // times, 1) * times)]
    return trainer.data_collator(rows)


def _set(trainer: Any, coefficient: str, value: float) -> None:
    for owner in (trainer, trainer.args):
        if hasattr(owner, coefficient):
            setattr(owner, coefficient, value)


@contextmanager
def _moved(parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Inside, weights are a little elsewhere."""
    kept = [p.detach().to("cpu", copy=True) for p in parameters]
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for p, before in zip(parameters, kept, strict=True):
                noise = torch.randn(before.shape, generator=generator, dtype=torch.float32)
                spread = float(before.float().std()) if before.numel() > 1 else 0.0
                p.add_((_MOVED * (spread + 1e-2) * noise).to(p))
        yield
    finally:
        with torch.no_grad():
            for p, before in zip(parameters, kept, strict=True):
                p.copy_(before)


@contextmanager
def _random_numbers(seed: int) -> Iterator[None]:
    """Inside, random numbers begin at a seed; afterwards they go on as before."""
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002 - whatever a trainer uses
    devices = list(range(torch.cuda.device_count()))
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002


@contextmanager
def _books_kept(trainer: Any) -> Iterator[None]:
    """Afterwards counts, metrics and buffered batches of a trainer are as before."""
    names = [name for name, value in vars(trainer).items() if name.startswith("_") and isinstance(value, _BOOKS)]
    kept = {name: copy.deepcopy(getattr(trainer, name)) for name in names}
    state = copy.deepcopy(trainer.state)
    try:
        yield
    finally:
        trainer.state = state
        for name, value in kept.items():
            setattr(trainer, name, value)
