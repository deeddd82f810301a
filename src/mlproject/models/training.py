"""One training loop for everything that is trained on a fixed set of examples (supervised policy, reward models).

Runs under `accelerate`, so that the same code serves one CPU thread, a GPU and mixed precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

Progress = Callable[[float], None]
"""Told the finished share of a piece of work, 0 to 1."""

_BATCHES_PER_BUCKET = 16
_WARM_UP = 0.05
_MAX_GRADIENT_NORM = 1.0


def silent(share: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        epochs: passes over the examples; may be a fraction.
        batch_size: examples per step, over all processes together.
        learning_rate: of Adam at its highest; warmed up over the first 5 % of the steps, then falling linearly to 0.
    """

    epochs: float
    batch_size: int
    learning_rate: float

    def steps(self, examples: int) -> int:
        return max(1, round(self.epochs * examples / self.batch_size))


def train(
    model: nn.Module,
    loss_of: Callable[[nn.Module, Tensor], Tensor],
    lengths_B: Tensor,
    schedule: Schedule,
    *,
    accelerator: Accelerator,
    generator: torch.Generator,
    progress: Progress = silent,
) -> float:
    """Minimise a loss over a fixed set of examples, in place.

    Args:
        model: trained in place, on the accelerator's device.
        loss_of: (model, index of the examples) -> mean loss of these examples.
        lengths_B: tokens of each example; batches are filled with examples of about equal length. Shape: (B,).
        schedule: epochs, batch size, learning rate.
        accelerator: device placement, mixed precision, gradient clipping, processes.
        generator: order of the examples.
        progress: told the finished share.

    Returns:
        mean loss over the last tenth of the steps.
    """
    total = schedule.steps(len(lengths_B))
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, weight_decay=0.01, fused=True)
    warm_up = max(1, int(_WARM_UP * total))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm_up, max(0.0, (total - step) / max(1, total - warm_up)))
    )
    prepared, optimizer = accelerator.prepare(model, optimizer)
    prepared.train()
    torch.manual_seed(generator.initial_seed())  # of dropout, where a checkpoint has it
    losses = []
    batches = bucketed_batches(lengths_B, schedule.batch_size, generator)
    for step in range(total):
        share_of_batch = next(batches)[accelerator.process_index :: accelerator.num_processes]
        loss = loss_of(prepared, share_of_batch)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(prepared.parameters(), _MAX_GRADIENT_NORM)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if step >= total - max(1, total // 10):
            losses.append(float(loss.detach()))
        if step % 20 == 0:
            progress(step / total)
    model.eval()
    return sum(losses) / len(losses)


def bucketed_batches(lengths_B: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless batches of example indices: an example at most once per pass, neighbours in length together.

    Each pass is shuffled, cut into buckets of 16 batches, sorted by length inside a bucket and cut into batches, which
    are shuffled again: little padding, and no order by length over the pass. A pass leaves out the few random examples
    that would not fill a batch.
    """
    batch_size = min(batch_size, len(lengths_B))
    while True:
        order = torch.randperm(len(lengths_B), generator=generator)[: len(lengths_B) // batch_size * batch_size]
        buckets = [
            bucket[lengths_B[bucket].argsort(stable=True)] for bucket in order.split(_BATCHES_PER_BUCKET * batch_size)
        ]
        batches = [batch for bucket in buckets for batch in bucket.split(batch_size)]
        for index in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[index]
