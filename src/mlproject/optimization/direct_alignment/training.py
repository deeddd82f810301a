"""The loop that direct alignment shares: gradient steps on comparisons, with curve points between them.

Optimizer and order of the data are those of all supervised training (`mlproject.models.training`), with a learning rate
that stays constant after its warm-up, so that a point does not depend on the budget. A step can be shared by processes,
and a run that was cut off goes on at the step where it was last saved.

`align_mixed_precision=bf16` computes the gradient passes in bfloat16; all that is measured is float32.

Axis letters: B comparisons.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mlproject.curve import CurvePoint
from mlproject.errors import UserError
from mlproject.models.collectives import broadcast
from mlproject.models.response_logits import reading_of
from mlproject.models.sequences import Sequences, concatenate
from mlproject.models.training import Schedule, training_steps
from mlproject.names import Diagnostic
from mlproject.optimization.direct_alignment.implicit_reward import ImplicitReward
from mlproject.optimization.direct_alignment.methods import DirectAlignmentConfig
from mlproject.optimization.direct_alignment.pairs import Pairs, pairs_of, response_log_probs, summed_log_probs
from mlproject.optimization.task import OptimizationTask
from mlproject.resume.state import State

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Task = OptimizationTask[DirectAlignmentConfig]

_HELD_OUT = 512
"""Held-out comparisons that diagnostics are computed on."""

_BEGUN = "direct alignment"
"""Name of what is saved beside the training: that the first point was drawn."""


@dataclass(frozen=True)
class LogRatios:
    """How much more likely the responses of comparisons have become than they were under the initial policy.

    Attributes:
        chosen_B, rejected_B: log pi(y|x) - log pi_init(y|x) of the preferred response and of the other, nats.
            Shape: (B,).
        chosen_tokens_B, rejected_tokens_B: tokens of these responses, end-of-sequence included. Shape: (B,).
    """

    chosen_B: Tensor
    rejected_B: Tensor
    chosen_tokens_B: Tensor
    rejected_tokens_B: Tensor

    @property
    def margin_B(self) -> Tensor:
        """Difference of the two log-ratios, nats. Shape: (B,)."""
        return self.chosen_B - self.rejected_B


Loss = Callable[[LogRatios], Tensor]
"""Log-ratios of B comparisons -> the loss of each. Shape: (B,)."""

BeforeStep = Callable[["PreTrainedModel", Tensor], None]
"""Called before each step with the policy and the comparisons that this process takes of the batch. Shape: (B,)."""


class Aligned(nn.Module):
    """A policy as it is trained: sequences in, log-probabilities of their responses out."""

    def __init__(self, policy: PreTrainedModel) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, sequences: Sequences) -> Tensor:
        """Shape: (B,)."""
        return summed_log_probs(self.policy, sequences)


def align(task: OptimizationTask[Any], loss: Loss, before_step: BeforeStep | None = None) -> Iterator[CurvePoint]:
    """Yield step 0, then a point after each step of `measured_steps`.

    Args:
        task: its comparisons are learned from, apart from those that are held out.
        loss: of a method.
        before_step: what a method computes on a whole batch before its gradient.
    """
    config: DirectAlignmentConfig = task.config
    accelerator, pairs, held_out = task.accelerator, *_split(task)
    policy = copy.deepcopy(task.start_policy).to(accelerator.device).eval()
    reading_of(policy)  # found in eval mode, also where the run is taken up between two points
    reward = ImplicitReward(policy, task.initial_policy, config.align_beta, task.samples)

    def evaluate(step: int) -> CurvePoint:
        epoch = step * min(config.align_batch_size, len(pairs)) / len(pairs)

        def measure() -> CurvePoint:
            diagnostics = {Diagnostic.EPOCH: epoch, **_diagnostics(policy, held_out, loss)}
            return task.evaluator.evaluate_policy(policy, step, diagnostics, proxy=reward)

        return broadcast(accelerator, measure)

    def loss_of(module: nn.Module, index: Tensor) -> Tensor:
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.align_mixed_precision == "bf16"):
            ratios = log_ratios(module, pairs, index, accelerator.device)
        return loss(ratios).mean()

    begun = task.resumption.restored(_BEGUN, accelerator) is not None
    if not begun:
        yield evaluate(0)
    task.resumption.keep(_BEGUN, lambda: State(values={"begun": True}))
    measured = set(measured_steps(config.last_step, config.align_points))
    for taken in training_steps(
        Aligned(policy),
        loss_of,
        torch.maximum(pairs.chosen.ends_B, pairs.rejected.ends_B),
        _schedule(task, len(pairs)),
        accelerator=accelerator,
        generator=torch.Generator().manual_seed(task.generator.initial_seed()),  # of an order, which the CPU draws
        resumption=task.resumption,
        before_step=None if before_step is None else partial(before_step, policy),
    ):
        step = taken.index + 1
        task.progress(step / taken.total)
        if step in measured:
            policy.eval()
            yield evaluate(step)


def _split(task: OptimizationTask[Any]) -> tuple[Pairs, Pairs | None]:
    """The comparisons to learn from, and some of those that are held out."""
    table = task.comparisons
    assert table is not None, "the method needs comparisons"
    held_out = table[table.held_out].head(_HELD_OUT)
    training, validation = (
        pairs_of(part, task.prompt_format, task.initial_policy) if len(part) else None
        for part in (table[~table.held_out], held_out)
    )
    if training is None:
        raise UserError("comparisons: must be at least one to learn from. Raise n_comparisons.")
    return training, validation


def _schedule(task: OptimizationTask[Any], comparisons: int) -> Schedule:
    config: DirectAlignmentConfig = task.config
    epochs = config.align_updates * config.align_batch_size / comparisons
    return Schedule(epochs, config.align_batch_size, config.align_lr, task.memory, decays=False)


def log_ratios(module: nn.Module, pairs: Pairs, index_B: Tensor, device: torch.device) -> LogRatios:
    """Log-ratios of some comparisons, with their gradient.

    Args:
        module: an `Aligned`, perhaps as accelerate prepared it.
        pairs: the comparisons.
        index_B: which of them. Shape: (B,).
        device: of the policy.
    """
    chosen, rejected = pairs.chosen.select(index_B), pairs.rejected.select(index_B)
    both = concatenate([chosen, rejected], 0)  # padding is read by nobody
    chosen_B, rejected_B = module(both.to(device)).float().chunk(2)
    return LogRatios(
        chosen_B - pairs.reference_chosen_B[index_B].to(device),
        rejected_B - pairs.reference_rejected_B[index_B].to(device),
        chosen.response_lengths_B.to(device),
        rejected.response_lengths_B.to(device),
    )


def measured_steps(last: int, points: int) -> list[int]:
    """Steps after which a point is measured: half of them evenly spaced in their logarithm, half evenly spaced.

    Args:
        last: the last step, which is measured.
        points: at most so many.
    """
    even = points // 2
    dense = np.geomspace(1, last, points - even).round().astype(int)
    evenly = np.linspace(last / even, last, even).round().astype(int)
    return np.unique(np.maximum([*dense, *evenly], 1)).tolist()


def _diagnostics(policy: PreTrainedModel, held_out: Pairs | None, loss: Loss) -> dict[str, float]:
    """How the implicit reward orders held-out comparisons, and how likely their responses have become."""
    if held_out is None:
        return {}
    ratios = LogRatios(
        response_log_probs(policy, held_out.chosen) - held_out.reference_chosen_B,
        response_log_probs(policy, held_out.rejected) - held_out.reference_rejected_B,
        held_out.chosen.response_lengths_B,
        held_out.rejected.response_lengths_B,
    )
    right_B = (ratios.margin_B > 0).double() + 0.5 * (ratios.margin_B == 0).double()
    return {
        Diagnostic.PREFERENCE_LOSS: float(loss(ratios).double().mean()),
        Diagnostic.PREFERENCE_ACCURACY: float(right_B.mean()),
        Diagnostic.CHOSEN_LOG_RATIO: float(ratios.chosen_B.double().mean()),
        Diagnostic.REJECTED_LOG_RATIO: float(ratios.rejected_B.double().mean()),
    }
