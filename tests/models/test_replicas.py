"""Gradients that threads share are those of one thread; copies follow the weights and leave nothing behind."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from mlproject.models.replicas import Replicas

X_BH = torch.randn(24, 5, generator=torch.Generator().manual_seed(0))


def model_of(dropout: float = 0.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(dropout), nn.Linear(7, 1))


def backward(module: nn.Module, part: torch.Tensor) -> tuple[int, str]:
    module(X_BH[part]).square().sum().backward()
    return len(part), threading.current_thread().name


@pytest.mark.parametrize("count", [1, 2, 3])
def test_two_steps_of_several_threads_are_those_of_one(count) -> None:
    model, alone = model_of(), model_of()
    optimizers = [torch.optim.Adam(each.parameters(), lr=0.1, fused=True) for each in (model, alone)]
    with Replicas(model, count) as replicas:
        for _ in range(2):  # the second one with weights that have moved
            results = replicas.backward(torch.arange(24), backward)
            backward(alone, torch.arange(24))
            for own, expected in zip(model.parameters(), alone.parameters(), strict=True):
                torch.testing.assert_close(own.grad, expected.grad)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    assert [size for size, _ in results] == [24 // count] * count
    assert len({name for _, name in results}) in range(min(count, 2), count + 1)  # a quick thread takes two parts


def test_a_batch_of_fewer_examples_than_threads_is_enough() -> None:
    model = model_of()
    with Replicas(model, 3) as replicas:
        assert [size for size, _ in replicas.backward(torch.arange(1), backward)] == [1]
    own = [parameter.grad for parameter in model.parameters()]
    backward(alone := model_of(), torch.arange(1))
    for gradient, parameter in zip(own, alone.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_a_model_with_dropout_stays_alone_and_threads_end_with_it() -> None:
    before = threading.active_count()
    with Replicas(model_of(0.1), 2) as replicas:
        assert len(replicas.backward(torch.arange(24), backward)) == 1
    with Replicas(model_of(), 2) as replicas:
        assert len(replicas.backward(torch.arange(24), backward)) == 2
    assert threading.active_count() == before


def test_an_error_of_a_thread_is_raised() -> None:
    def fail(module: nn.Module, part: torch.Tensor) -> None:
        if part[0] > 0:
            raise ArithmeticError("of the second part")

    with Replicas(model_of(), 2) as replicas, pytest.raises(ArithmeticError, match="of the second part"):
        replicas.backward(torch.arange(24), fail)
