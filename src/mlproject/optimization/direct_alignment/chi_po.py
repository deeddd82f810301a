"""Chi-squared preference optimization (Huang et al. 2024, "Correcting the mythos of KL-regularization", equation 9).

DPO whose divergence from the initial policy is KL plus chi-squared: the link log(rho), with rho = pi / pi_init, becomes
rho + log(rho), which makes it dear to raise the probability of a response far.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from mlproject.curve import CurvePoint
from mlproject.optimization.direct_alignment.training import LogRatios, align

if TYPE_CHECKING:
    from mlproject.optimization.direct_alignment.methods import ChiPOConfig
    from mlproject.optimization.task import OptimizationTask

_LARGEST = 20.0
"""Nats beyond which a log-ratio is cut before its exponential is taken: e^20 is beyond every clipping range."""


def optimize(task: OptimizationTask[ChiPOConfig]) -> Iterator[CurvePoint]:
    """Yield the points of `align`."""
    config = task.config
    return align(task, lambda ratios: chi_po_loss(ratios, config.align_beta, config.chi_po_r_max))


def chi_po_loss(ratios: LogRatios, beta: float, r_max: float) -> Tensor:
    """-log sigmoid(clip(beta * (phi(chosen) - phi(rejected)), -2 r_max, 2 r_max)) of each comparison, nats.

    Args:
        ratios: of the comparisons.
        beta: weight of the divergence.
        r_max: bound of the rewards.

    Returns:
        losses. Shape: (B,).
    """
    difference_B = beta * (link(ratios.chosen_B) - link(ratios.rejected_B))
    return -F.logsigmoid(difference_B.clamp(-2 * r_max, 2 * r_max))


def link(log_ratio_B: Tensor) -> Tensor:
    """phi(rho) = rho + log rho. Shape: (B,).

    Args:
        log_ratio_B: log rho, nats. Shape: (B,).
    """
    return log_ratio_B.clamp(max=_LARGEST).exp() + log_ratio_B
