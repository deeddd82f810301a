"""KTO: Kahneman-Tversky optimization (Ethayarajh et al. 2024), on the two responses of each comparison.

It judges responses one by one, as wanted or unwanted, against the KL of the policy at that moment. That KL is
estimated, as in TRL, on the prompts of a batch with responses to other prompts, without gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mlproject.curve import CurvePoint
from mlproject.models.collectives import all_reduce
from mlproject.optimization.direct_alignment.pairs import mismatched, response_log_probs
from mlproject.optimization.direct_alignment.training import LogRatios, Task, align

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def optimize(task: Task) -> Iterator[CurvePoint]:
    """Yield the points of `align`."""
    assert task.comparisons is not None, "the method needs comparisons"
    others = mismatched(task.comparisons[~task.comparisons.held_out], task.prompt_format)
    reference_B = response_log_probs(task.initial_policy, others)
    kl = torch.zeros((), device=task.accelerator.device)

    def measure_kl(policy: PreTrainedModel, index_B: Tensor) -> None:
        """The KL by the batch that all processes share."""
        log_ratio_B = response_log_probs(policy, others.select(index_B)) - reference_B[index_B]
        parts = torch.stack([log_ratio_B.double().sum(), torch.tensor(float(len(log_ratio_B)), dtype=torch.float64)])
        total, count = all_reduce(task.accelerator, parts.to(kl.device))
        kl.copy_((total / count).clamp(min=0))

    return align(task, lambda ratios: kto_loss(ratios, kl, task.config.align_beta), measure_kl)


def kto_loss(ratios: LogRatios, kl: Tensor, beta: float) -> Tensor:
    """Mean of 1 - sigmoid(beta * (chosen - kl)) and 1 - sigmoid(beta * (kl - rejected)) of each comparison.

    Args:
        ratios: of the comparisons; both responses have weight 1.
        kl: of the policy from the initial one, nats, 0 or more. Shape: ().
        beta: steepness.

    Returns:
        losses, 0 to 1. Shape: (B,).
    """
    wanted_B, unwanted_B = (beta * (ratios.chosen_B - kl)).sigmoid(), (beta * (kl - ratios.rejected_B)).sigmoid()
    return 1 - (wanted_B + unwanted_B) / 2
