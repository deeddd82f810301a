"""What a training must be given back to go on as if nothing had happened: weights, moments, order, random streams.

Axis letters: B examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mlproject.models.collectives import all_gather
from mlproject.resume.state import (
    State,
    load_module,
    load_optimizer,
    merge,
    module_state,
    optimizer_state,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

_BATCHES_PER_BUCKET = 16


class BucketedBatches(Iterator[Tensor]):
    """Endless batches of example indices, of examples of similar length, each example at most once per pass.

    Each pass is shuffled, split into buckets of 16 batches, sorted by length inside a bucket and split into batches,
    which are shuffled again: there is little padding, and no order by length over the pass. A pass skips the few random
    examples that would not fill a batch.

    Args:
        lengths_B: tokens of each example. Shape: (B,).
        batch_size: examples of a batch, at most B are.
        generator: source of the order.
    """

    def __init__(self, lengths_B: Tensor, batch_size: int, generator: torch.Generator) -> None:
        self._lengths_B, self._size, self._generator = lengths_B, min(batch_size, len(lengths_B)), generator
        self._begin()

    def __next__(self) -> Tensor:
        if self._taken == len(self._batches):
            self._begin()
        self._taken += 1
        return self._batches[self._taken - 1]

    def state(self) -> State:
        """Where in which pass the next batch is."""
        return State({"pass": self._before_pass}, {"taken": self._taken})

    def restore(self, state: State) -> None:
        """Go on with the batch that was next."""
        self._generator.set_state(state.tensors["pass"])
        self._begin()
        self._taken = state.values["taken"]

    def _begin(self) -> None:
        lengths_B, size, generator = self._lengths_B, self._size, self._generator
        self._before_pass = generator.get_state()
        order = torch.randperm(len(lengths_B), generator=generator)[: len(lengths_B) // size * size]
        buckets = [bucket[lengths_B[bucket].argsort(stable=True)] for bucket in order.split(_BATCHES_PER_BUCKET * size)]
        batches = [batch for bucket in buckets for batch in bucket.split(size)]
        self._batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
        self._taken = 0


class RandomStream:
    """A private stream of torch's global random numbers.

    Args:
        seed: seed of the stream.
        device: device whose random state it has, beside the CPU's.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=self._devices):
            torch.manual_seed(seed)
            self._states = self._read()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, random numbers come from this stream."""
        with torch.random.fork_rng(devices=self._devices):
            torch.set_rng_state(self._states[0])
            for device, state in zip(self._devices, self._states[1:], strict=True):
                torch.cuda.set_rng_state(state, device)
            yield
            self._states = self._read()

    def state(self) -> State:
        """Where the stream is."""
        return State({str(i): state for i, state in enumerate(self._states)})

    def restore(self, state: State) -> None:
        """Go on where a stream on the same kinds of devices was."""
        self._states = [state.tensors[str(i)] for i in range(len(self._states))]

    def _read(self) -> list[Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in self._devices)]


@dataclass
class TrainingState:
    """All that changes while a model learns from a fixed set of examples.

    Attributes:
        model: that learns.
        optimizer: as accelerate prepared it.
        scheduler: of its learning rate.
        batches: order of the examples.
        dropout: random stream of this process.
        steps: that were taken.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    batches: BucketedBatches
    dropout: RandomStream
    steps: int = 0

    def capture(self, accelerator: Accelerator) -> State:
        """The present state; every process of the training must ask for it."""
        streams = all_gather(accelerator, [self.dropout.state()])
        return merge(
            {
                "model": module_state(self.model),
                "optimizer": optimizer_state(self.optimizer),
                "batches": self.batches.state(),
                "dropout": merge({str(rank): stream for rank, stream in enumerate(streams)}),
                "schedule": State(values={"steps": self.steps, "scheduler": self.scheduler.state_dict()}),
            }
        )

    def restore(self, state: State, accelerator: Accelerator) -> None:
        """Go on where a training of as many processes was."""
        load_module(self.model, state.within("model"))
        load_optimizer(self.optimizer, state.within("optimizer"))
        self.batches.restore(state.within("batches"))
        self.dropout.restore(state.within("dropout").within(str(accelerator.process_index)))
        self.steps = state.values["schedule"]["steps"]
        self.scheduler.load_state_dict(state.values["schedule"]["scheduler"])
