"""What the processes of one training tell each other. With one process each of these hands back what it was given.

Objects travel as pickles through gloo, whatever the device: curve points, rollouts and decisions are small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor

T = TypeVar("T")


def broadcast(accelerator: Accelerator, make: Callable[[], T]) -> T:
    """Something that the first process makes, sent to all of them; the others wait for it."""
    if accelerator.num_processes == 1:
        return make()
    parcel: list[Any] = [make() if accelerator.is_main_process else None]
    dist.broadcast_object_list(parcel, src=0)
    return parcel[0]


def all_gather(accelerator: Accelerator, own: Sequence[T]) -> list[T]:
    """The items of all processes, dealt out in turn: item i comes from process i modulo their number.

    Args:
        accelerator: knows how many processes there are.
        own: items r, r + n, r + 2 n, ... of process r of n.
    """
    if accelerator.num_processes == 1:
        return list(own)
    hands: list[Any] = [None] * accelerator.num_processes
    dist.all_gather_object(hands, list(own))
    return [hand[turn] for turn in range(len(hands[0])) for hand in hands if turn < len(hand)]


def all_reduce(accelerator: Accelerator, values: Tensor) -> Tensor:
    """The sum of a tensor over the processes, in place."""
    if accelerator.num_processes > 1:
        dist.all_reduce(values)
    return values
