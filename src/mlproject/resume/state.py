"""The state of a piece of work at a safe point, and what it is made of: weights, optimizers, random streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_SEPARATOR = "/"


@dataclass(frozen=True)
class State:
    """What a piece of work must be given back to go on as if nothing had happened.

    Attributes:
        tensors: by name; they may be those of a model itself, since a state is written at once.
        values: all else, in the forms that JSON has (RFC 8259: without nan and infinity).
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def within(self, name: str) -> State:
        """The part of this state that was merged into it under a name."""
        prefix = name + _SEPARATOR
        tensors = {key.removeprefix(prefix): each for key, each in self.tensors.items() if key.startswith(prefix)}
        return State(tensors, self.values.get(name, {}))


def merge(parts: Mapping[str, State]) -> State:
    """Several states as one; `State.within` takes one of them out again."""
    tensors = {f"{name}{_SEPARATOR}{key}": each for name, part in parts.items() for key, each in part.tensors.items()}
    return State(tensors, {name: part.values for name, part in parts.items()})


def module_state(module: nn.Module) -> State:
    """Parameters and buffers of a module."""
    return State(module.state_dict())


def load_module(module: nn.Module, state: State) -> None:
    """Give a module the parameters and buffers of a state."""
    module.load_state_dict(state.tensors)


def optimizer_state(optimizer: torch.optim.Optimizer) -> State:
    """Moments and hyperparameters of an optimizer."""
    content = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for index, moments in content["state"].items():
        for name, value in moments.items():
            key = f"{index}{_SEPARATOR}{name}"
            (tensors if isinstance(value, Tensor) else values)[key] = value
    return State(tensors, {"values": values, "groups": content["param_groups"]})


def load_optimizer(optimizer: torch.optim.Optimizer, state: State) -> None:
    """Give an optimizer of the same parameters the moments and hyperparameters of a state."""
    moments: dict[int, dict[str, Any]] = {}
    for key, value in [*state.tensors.items(), *state.values["values"].items()]:
        index, name = key.split(_SEPARATOR)
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": state.values["groups"]})


def generator_state(generator: torch.Generator) -> State:
    """State of a generator of torch."""
    return State({"state": generator.get_state()})


def load_generator(generator: torch.Generator, state: State) -> None:
    """Give a generator of torch, on the same kind of device, a state."""
    generator.set_state(state.tensors["state"])


def numpy_state(rng: np.random.Generator) -> State:
    """State of a generator of numpy."""
    return State(values=dict(rng.bit_generator.state))


def load_numpy(rng: np.random.Generator, state: State) -> None:
    """Give a generator of numpy, of the same kind, a state."""
    rng.bit_generator.state = dict(state.values)
