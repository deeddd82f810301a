"""SLiC: sequence likelihood calibration (Zhao et al. 2023), on the implicit reward, as Rafailov et al. 2024 have it."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from mlproject.curve import CurvePoint
from mlproject.optimization.direct_alignment.training import LogRatios, Task, align


def optimize(task: Task) -> Iterator[CurvePoint]:
    """Yield the points of `align`."""
    return align(task, lambda ratios: slic_loss(ratios, task.config.align_beta))


def slic_loss(ratios: LogRatios, beta: float) -> Tensor:
    """max(0, 1 - beta * margin) of each comparison: no gradient beyond a margin of 1 / beta nats. Shape: (B,)."""
    return (1 - beta * ratios.margin_B).relu()
