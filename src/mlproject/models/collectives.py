"""Collective communication between the processes of one training. With one process each returns its input.

Objects are pickled and sent with gloo, whatever the device: curve points, rollouts and decisions are small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


def broadcast(accelerator: Accelerator, make: Callable[[], T]) -> T:
    """An object that the main process makes, on every process.

    Args:
        accelerator: the process group.
        make: called by the main process alone; the others wait for its result.
    """
    if accelerator.num_processes == 1:
        return make()
    objects: list[Any] = [make() if accelerator.is_main_process else None]
    dist.broadcast_object_list(objects, src=0)
    return objects[0]


def all_gather(accelerator: Accelerator, items: Sequence[T]) -> list[T]:
    """The items of all processes, interleaved: item i is of process i modulo their number.

    Args:
        accelerator: the process group.
        items: items r, r + n, r + 2 n, ... on process r of n.
    """
    if accelerator.num_processes == 1:
        return list(items)
    shares: list[Any] = [None] * accelerator.num_processes
    dist.all_gather_object(shares, list(items))
    return [share[i] for i in range(len(shares[0])) for share in shares if i < len(share)]


def all_reduce(accelerator: Accelerator, values: Tensor) -> Tensor:
    """The sum of a tensor over the processes, in place."""
    if accelerator.num_processes > 1:
        dist.all_reduce(values)
    return values
