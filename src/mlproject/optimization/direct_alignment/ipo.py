"""IPO: identity preference optimization (Azar et al. 2023, equation 17)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from mlproject.curve import CurvePoint
from mlproject.optimization.direct_alignment.methods import MEAN
from mlproject.optimization.direct_alignment.training import LogRatios, align

if TYPE_CHECKING:
    from mlproject.optimization.direct_alignment.methods import IPOConfig
    from mlproject.optimization.task import OptimizationTask


def optimize(task: OptimizationTask[IPOConfig]) -> Iterator[CurvePoint]:
    """Yield the points of `align`."""
    config = task.config
    return align(task, lambda ratios: ipo_loss(ratios, config.align_beta, config.ipo_log_ratio == MEAN))


def ipo_loss(ratios: LogRatios, beta: float, per_token: bool) -> Tensor:
    """(margin - 1 / (2 beta))^2 of each comparison: the margin has a target, and no comparison is ever over-fitted.

    Args:
        ratios: of the comparisons.
        beta: tau of the paper.
        per_token: compare the mean log-ratios of the tokens of a response, as the paper's authors did by what TRL's
            source says, so that the target does not depend on the length; otherwise their sums.

    Returns:
        losses. Shape: (B,).
    """
    margin_B = ratios.margin_B
    if per_token:
        margin_B = ratios.chosen_B / ratios.chosen_tokens_B - ratios.rejected_B / ratios.rejected_tokens_B
    return (margin_B - 1 / (2 * beta)).square()
