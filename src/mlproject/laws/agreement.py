"""How far proxy and gold still agree: what the proxy, which costs nothing, says about a peak ahead.

In a small step up the proxy, gold changes by the covariance of the two over responses (Price's equation), so gold peaks
where they no longer agree, and their correlation begins to fall before gold does. Measured over prompts it does not
reach 0 at the peak (prompts differ in how much there is to gain); over ten PPO runs of five reward models in one
world it stood at .50 +- .11 of its first value there and at .92 +- .03 half way: 1 - x^3 / 2, for x = d / peak d.

Axis letters: P prompts, S curve points, H laws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlproject.curve import CurvePoint
from mlproject.laws.posterior import JITTER, LOG_D_H, infer_scale

Array = NDArray[np.float64]

START_D = 1.0
"""Points up to this d (1 nat) show the agreement at the start, square-root nats."""

_MISFIT = 0.04
"""Standard deviation at d = 1 of what the correlation does beside the rule: a Brownian motion, like gold's misfit."""

_FIRST = 0.6, 0.3
"""Mean and standard deviation of the correlation at the start, before it is seen."""

_P_TELLS_NOTHING = 0.1
"""Chance that a run's agreement follows no such rule: then gold alone decides."""


def initial_agreement(method: str, points: Sequence[CurvePoint]) -> float:
    """Logarithm of the mean agreement near the start, larger for better proxies.

    For a trained policy it is the correlation of proxy and gold. A point of best-of-n holds expectations over
    responses, whose spread over prompts says something else; there it is gold per square-root nat, proportional to the
    correlation for normal scores.

    Returns:
        nan where no point tells, or the mean is not positive.
    """
    near = [point for point in points if point.sqrt_kl <= START_D]
    if method == "best-of-n":
        values = [point.gold / point.sqrt_kl for point in near if point.kl > 0]
    else:
        values = [float(_correlation_P(point).mean()) for point in near if _varies(point)]
    return float(np.log(np.mean(values))) if values and np.mean(values) > 0 else float("nan")


def log_likelihood(method: str, points: Sequence[CurvePoint], log_prior_H: Array) -> Array:
    """How well each law's peak explains the fall of the agreement so far.

    Args:
        method: best-of-n's points do not tell (see `initial_agreement`).
        points: of one run.
        log_prior_H: logarithm of each law's weight without it, up to a constant. Shape: (H,).

    Returns:
        to be added to the logarithm of the weights. Shape: (H,).
    """
    points = [point for point in points if _varies(point)]
    if method == "best-of-n" or not points:
        return np.zeros_like(log_prior_H)
    d_S = np.array([point.sqrt_kl for point in points])
    correlation_SP = np.stack([_correlation_P(point) for point in points])
    prompts = correlation_SP.shape[1]
    noise_SS = np.cov(correlation_SP).reshape(len(points), -1) / prompts + JITTER**2 * np.eye(len(points))
    left_SH = np.maximum(1 - (d_S[:, None] / np.exp(LOG_D_H)) ** 3 / 2, 0.0)
    misfit_SS = _MISFIT**2 * np.minimum(d_S[:, None], d_S)
    told_H = infer_scale(correlation_SP.mean(axis=1), noise_SS + misfit_SS, left_SH, *_FIRST).log_evidence_H
    told_H = told_H - (np.logaddexp.reduce(log_prior_H + told_H) - np.logaddexp.reduce(log_prior_H))
    return np.logaddexp(np.log(1 - _P_TELLS_NOTHING) + told_H, np.log(_P_TELLS_NOTHING))


def _varies(point: CurvePoint) -> bool:
    return bool(np.ptp(point.gold_P) > 0 and np.ptp(point.proxy_P) > 0)


def _correlation_P(point: CurvePoint) -> Array:
    """One value per prompt whose mean is the correlation of proxy and gold, and whose scatter shows its error.

    The correlation plus each prompt's influence on it (Hampel 1974). Shape: (P,).
    """
    gold_P, proxy_P = ((x - x.mean()) / x.std() for x in (point.gold_P, point.proxy_P))
    correlation = float((gold_P * proxy_P).mean())
    return gold_P * proxy_P - correlation * (np.square(gold_P) + np.square(proxy_P)) / 2 + correlation
