"""The training loop for models that learn from a fixed set of examples (supervised policy, reward models).

Runs under `accelerate`: on one CPU thread, a GPU, in mixed precision, and with several processes. However many
processes and micro-batches share a batch, a step follows the gradient of the mean loss of the whole batch: each part
counts by its weight, which need not be its number of examples.

Axis letters: B examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mlproject.errors import UserError
from mlproject.models.collectives import all_gather, all_reduce
from mlproject.models.gradient_checkpointing import checkpointed_layers
from mlproject.models.memory import MemoryOptions
from mlproject.models.progress import Progress, no_progress
from mlproject.models.replicas import Replicas
from mlproject.models.training_state import BucketedBatches, RandomStream, TrainingState
from mlproject.resume.resumption import Resumption
from mlproject.resume.state import State

if TYPE_CHECKING:
    from accelerate import Accelerator

_WARM_UP = 0.05
_MAX_GRADIENT_NORM = 1.0

_PART, _LOSS = "training", "training loss"
"""Names of what is saved of a training."""


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of a training.

    Attributes:
        epochs: passes over the examples; may be a fraction.
        batch_size: examples per step, over all processes.
        learning_rate: maximum of Adam's learning rate, which rises linearly over the first 5 % of the steps and then
            falls linearly to 0.
        memory: how a step saves memory; a process splits its part of a batch into micro-batches.
        threads: parts of a micro-batch that are worked on side by side (`Replicas`), where one process trains in
            float32 on the CPU and no layer is recomputed.
        decays: whether the learning rate falls; otherwise it stays at its maximum.
    """

    epochs: float
    batch_size: int
    learning_rate: float
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    threads: int = 1
    decays: bool = True

    def steps(self, examples: int) -> int:
        """Number of steps for a number of examples."""
        return max(1, round(self.epochs * examples / self.batch_size))


@dataclass(frozen=True)
class TrainingStep:
    """One gradient step, after it was taken.

    Attributes:
        index: number of the step, from 0.
        total: steps of the whole training.
        loss: this process's share of the mean loss of the step's batch, float64; summed over the processes it is that
            mean. Shape: ().
        model: the model as accelerate prepared it.
        optimizer: its optimizer, as accelerate prepared it.
        lr_scheduler: scheduler of the learning rate.
    """

    index: int
    total: int
    loss: Tensor
    model: nn.Module
    optimizer: torch.optim.Optimizer
    lr_scheduler: torch.optim.lr_scheduler.LRScheduler


def training_steps(
    model: nn.Module,
    loss_of: Callable[[nn.Module, Tensor], Tensor],
    lengths_B: Tensor,
    schedule: Schedule,
    *,
    accelerator: Accelerator,
    generator: torch.Generator,
    weights_B: Tensor | None = None,
    resumption: Resumption | None = None,
    before_step: Callable[[Tensor], None] | None = None,
) -> Iterator[TrainingStep]:
    """Minimise a loss over a fixed set of examples, in place, and yield after each gradient step.

    Between two steps the caller may evaluate, save or stop: each step sets the mode of the model and draws dropout from
    its own random stream. When the iterator is exhausted or closed, the model is in eval mode.

    Args:
        model: trained in place, on the accelerator's device.
        loss_of: (model, indices of examples) -> mean loss of these examples, weighted by `weights_B`.
        lengths_B: tokens of each example; batches are filled with examples of about equal length. Shape: (B,).
        schedule: epochs, batch size, learning rate.
        accelerator: device placement, mixed precision, gradient clipping, processes.
        generator: order of the examples; its initial seed is the seed of dropout.
        weights_B: weight of each example in the mean loss of its batch (its tokens, for example); None: equal weights.
            Shape: (B,).
        resumption: where the training is saved between steps; one that was interrupted goes on from there.
        before_step: called before each step with the examples that this process takes of its batch.

    Raises:
        UserError: for batches of fewer examples than there are processes.
    """
    rank, processes = accelerator.process_index, accelerator.num_processes
    if min(schedule.batch_size, len(lengths_B)) < processes:
        raise UserError(
            f"{processes} processes: must be at most the {min(schedule.batch_size, len(lengths_B))} examples of a "
            "batch. Start fewer processes or use larger batches."
        )
    if weights_B is None:
        weights_B = torch.ones(len(lengths_B))
    total = schedule.steps(len(lengths_B))
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, weight_decay=0.01, fused=True)
    warm_up = max(1, int(_WARM_UP * total))

    def share_of_rate(step: int) -> float:
        falling = max(0.0, (total - step) / max(1, total - warm_up)) if schedule.decays else 1.0
        return min((step + 1) / warm_up, falling)

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share_of_rate)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    batches = BucketedBatches(lengths_B, schedule.batch_size, generator)
    dropout = RandomStream(generator.initial_seed(), accelerator.device)
    training = TrainingState(model, optimizer, scheduler, batches, dropout)
    resumption = resumption or Resumption()
    if (saved := resumption.restored(_PART, accelerator)) is not None:
        training.restore(saved, accelerator)
    resumption.keep(_PART, lambda: training.capture(accelerator))
    is_plain = processes == 1 and accelerator.device.type == "cpu" and accelerator.mixed_precision == "no"
    threads = schedule.threads if is_plain and not schedule.memory.recomputes_layers else 1
    try:
        with Replicas(prepared, threads) as replicas:
            for index in range(training.steps, total):
                batch = next(batches)
                parts = batch[rank::processes].chunk(schedule.memory.accumulation)
                if before_step is not None:
                    before_step(batch[rank::processes])
                prepared.train()

                def backward(module: nn.Module, part: Tensor, batch: Tensor = batch) -> Tensor:
                    share = float(weights_B[part].sum() / weights_B[batch].sum())
                    loss = loss_of(module, part)
                    accelerator.backward(loss * (share * processes))  # gradients are averaged over processes
                    return loss.detach().double() * share

                loss_sum = torch.zeros((), dtype=torch.float64, device=accelerator.device)
                with dropout.active(), checkpointed_layers(model, schedule.memory.recomputes_layers):
                    for i, part in enumerate(parts):
                        with accelerator.no_sync(prepared) if i < len(parts) - 1 else nullcontext():
                            loss_sum += sum(replicas.backward(part, backward))
                accelerator.clip_grad_norm_(prepared.parameters(), _MAX_GRADIENT_NORM)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
                training.steps += 1
                yield TrainingStep(index, total, loss_sum, prepared, optimizer, scheduler)
                resumption.safe_point(accelerator)
    finally:
        vars(model).pop("forward", None)  # accelerate's autocast, if there was one
        model.eval()


def train(
    model: nn.Module,
    loss_of: Callable[[nn.Module, Tensor], Tensor],
    lengths_B: Tensor,
    schedule: Schedule,
    *,
    accelerator: Accelerator,
    generator: torch.Generator,
    progress: Progress = no_progress,
    weights_B: Tensor | None = None,
    resumption: Resumption | None = None,
) -> float:
    """Take all steps of `training_steps`, which explains the arguments.

    Args:
        progress: called with the finished share every 20 steps.

    Returns:
        mean loss over the last tenth of the steps.
    """
    resumption = resumption or Resumption()
    loss_sum = torch.zeros((), dtype=torch.float64, device=accelerator.device)
    if (saved := resumption.restored(_LOSS, accelerator)) is not None:
        loss_sum += saved.tensors[str(accelerator.process_index)].to(accelerator.device)
    resumption.keep(
        _LOSS, lambda: State({str(rank): each for rank, each in enumerate(all_gather(accelerator, [loss_sum.cpu()]))})
    )
    steps = training_steps(
        model,
        loss_of,
        lengths_B,
        schedule,
        accelerator=accelerator,
        generator=generator,
        weights_B=weights_B,
        resumption=resumption,
    )
    last = max(1, schedule.steps(len(lengths_B)) // 10)
    for step in steps:
        if step.index >= step.total - last:
            loss_sum += step.loss
        if step.index % 20 == 0:
            progress(step.index / step.total)
    return float(all_reduce(accelerator, loss_sum)) / last
