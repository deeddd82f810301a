"""Copies of a model that share its weights, so that parts of a batch are worked on side by side in threads.

Models as small as the ladder's keep one core busy per thread in this way, where torch's own threads, which share each
operation, gain little on an idle machine and wait for each other on a busy one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class Replicas:
    """A model and its copies, which accumulate gradients of their own.

    Args:
        model: may be wrapped; trained in place.
        count: of modules, the model included. Models with dropout stay alone: threads share one random stream.
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        copies = [] if count == 1 or _has_dropout(model) else [copy.deepcopy(model) for _ in range(count - 1)]
        self._modules = [model, *copies]
        for each in copies:
            for own, shared in zip(each.parameters(), model.parameters(), strict=True):
                own.data = shared.data
        self._threads = (
            ThreadPoolExecutor(len(copies), initializer=torch.set_num_threads, initargs=(1,)) if copies else None
        )

    def __enter__(self) -> Self:
        self._before = torch.get_num_threads()
        if self._threads is not None:
            torch.set_num_threads(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        if self._threads is not None:
            self._threads.shutdown()
            torch.set_num_threads(self._before)

    def backward(self, batch: Tensor, of: Callable[[nn.Module, Tensor], T]) -> list[T]:
        """Have parts of a batch worked on, and add up the gradients in the model, always in the same order.

        Args:
            batch: indices of examples.
            of: computes the gradient of a part in a module.

        Returns:
            what it returned for each part.
        """
        parts = batch.chunk(len(self._modules))
        others = [
            self._threads.submit(of, module, part)
            for module, part in zip(self._modules[1:], parts[1:], strict=False)  # a small batch has fewer parts
            if self._threads is not None
        ]
        results = [of(self._modules[0], parts[0])]
        results += [each.result() for each in others]
        for module in self._modules[1:]:
            _move_gradients(list(module.parameters()), list(self._modules[0].parameters()))
        return results


@torch.no_grad()
def _move_gradients(source: Sequence[nn.Parameter], target: Sequence[nn.Parameter]) -> None:
    for own, total in zip(source, target, strict=True):
        if own.grad is not None:
            total.grad = own.grad if total.grad is None else total.grad.add_(own.grad)
            own.grad = None


def _has_dropout(model: nn.Module) -> bool:
    """Whether a module names a dropout that is not 0, as a layer or as a number that its forward pass uses."""
    numbers = [
        value
        for module in model.modules()
        for name, value in [*vars(module).items(), *([("dropout", module.p)] if isinstance(module, nn.Dropout) else [])]
        if "drop" in name and isinstance(value, int | float)
    ]
    return any(number > 0 for number in numbers)
