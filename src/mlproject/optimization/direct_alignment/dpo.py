"""DPO: direct preference optimization (Rafailov et al. 2023, equation 7)."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from mlproject.curve import CurvePoint
from mlproject.optimization.direct_alignment.training import LogRatios, Task, align


def optimize(task: Task) -> Iterator[CurvePoint]:
    """Yield the points of `align`."""
    return align(task, lambda ratios: dpo_loss(ratios, task.config.align_beta))


def dpo_loss(ratios: LogRatios, beta: float) -> Tensor:
    """-log sigmoid(beta * margin) of each comparison, nats: Bradley-Terry with the implicit reward. Shape: (B,)."""
    return -F.logsigmoid(beta * ratios.margin_B)
