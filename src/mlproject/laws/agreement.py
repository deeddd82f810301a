"""Agreement of proxy and gold: evidence about the peak from the proxy scores, which cost nothing.

A small step up the proxy changes gold by their covariance over responses (Price's equation), so gold peaks where they
no longer correlate, and their correlation falls before gold does. Measured over prompts, the correlation does not reach
0 at the peak, because prompts differ in how much can be gained. In ten PPO runs (five reward models, one world) it was
.50 +- .11 of its initial value at the peak and .92 +- .03 half way there: 1 - x^3 / 2 with x = d / peak d.

Axis letters: P prompts, S curve points, L laws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlproject.curve import Array, CurvePoint
from mlproject.laws.forms import Method, trains_policy
from mlproject.laws.posterior import JITTER, LOG_D_L, infer_scale

START_D = 1.0
"""The initial agreement is measured on points up to this d (1 nat), square-root nats."""

_MISFIT = 0.04
"""Standard deviation, at d = 1, of the correlation's deviation from the rule: a Brownian motion, like gold's misfit."""

_INITIAL = 0.6, 0.3
"""Prior mean and standard deviation of the initial correlation."""

_P_UNINFORMATIVE = 0.1
"""Prior probability that the agreement of a run does not follow the rule, so that only gold counts."""


def initial_agreement(method: str | Method, points: Sequence[CurvePoint]) -> float:
    """Logarithm of the mean agreement near the start; larger for better proxies.

    For a trained policy, agreement is the correlation of proxy and gold over prompts. A point of a method that
    selects from a pool, such as best-of-n, holds expectations over responses, whose correlation over prompts measures
    something else. There agreement is gold per square-root nat, which is proportional to the correlation if the scores
    are normal.

    Args:
        method: what optimizes the policy (see `law_for`).
        points: of one policy run.

    Returns:
        nan if no point is informative or the mean is not positive.
    """
    near = [point for point in points if point.sqrt_kl <= START_D]
    if trains_policy(method):
        values = [float(_correlation_P(point).mean()) for point in near if _varies(point)]
    else:
        values = [point.gold / point.sqrt_kl for point in near if point.kl > 0]
    return float(np.log(np.mean(values))) if values and np.mean(values) > 0 else float("nan")


def log_likelihood(method: str | Method, points: Sequence[CurvePoint], log_prior_L: Array) -> Array:
    """Log-likelihood of the agreement so far under each law's peak.

    Args:
        method: what optimizes the policy; points of a method that trains none are not informative (see
            `initial_agreement`).
        points: of one policy run.
        log_prior_L: log weight of each law before this evidence, up to a constant. Shape: (L,).

    Returns:
        log-likelihood ratios, to be added to the log weights. Shape: (L,).
    """
    points = [point for point in points if _varies(point)]
    if not trains_policy(method) or not points:
        return np.zeros_like(log_prior_L)
    d_S = np.array([point.sqrt_kl for point in points])
    correlation_SP = np.stack([_correlation_P(point) for point in points])
    prompts = correlation_SP.shape[1]
    noise_SS = np.cov(correlation_SP).reshape(len(points), -1) / prompts + JITTER**2 * np.eye(len(points))
    expected_SL = np.maximum(1 - (d_S[:, None] / np.exp(LOG_D_L)) ** 3 / 2, 0.0)
    misfit_SS = _MISFIT**2 * np.minimum(d_S[:, None], d_S)
    evidence_L = infer_scale(correlation_SP.mean(axis=1), noise_SS + misfit_SS, expected_SL, *_INITIAL).log_evidence_L
    evidence_L = evidence_L - (np.logaddexp.reduce(log_prior_L + evidence_L) - np.logaddexp.reduce(log_prior_L))
    return np.logaddexp(np.log(1 - _P_UNINFORMATIVE) + evidence_L, np.log(_P_UNINFORMATIVE))


def _varies(point: CurvePoint) -> bool:
    return all(0 < np.ptp(values_P) < np.inf for values_P in (point.gold_P, point.proxy_P))


def _correlation_P(point: CurvePoint) -> Array:
    """Per-prompt values whose mean is the correlation of proxy and gold and whose scatter gives its standard error.

    The correlation plus its influence function at each prompt (Hampel 1974). Shape: (P,).
    """
    gold_P, proxy_P = ((x - x.mean()) / x.std() for x in (point.gold_P, point.proxy_P))
    correlation = float((gold_P * proxy_P).mean())
    return gold_P * proxy_P - correlation * (np.square(gold_P) + np.square(proxy_P)) / 2 + correlation
