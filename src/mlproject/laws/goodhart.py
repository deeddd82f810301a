"""Components of over-optimization: regressional and extremal Goodhart (Gao et al. 2022, section 4.2).

Axis letters: P prompts, S curve points, W bootstrap resamples, A coefficients (alpha, beta).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mlproject.curve import Array, Curve
from mlproject.laws.bootstrap import interval_95, resampled_means
from mlproject.laws.fits import points_beyond
from mlproject.laws.forms import Form
from mlproject.laws.intervals import Estimate


@dataclass(frozen=True)
class Goodhart:
    """How a proxy departs from gold, from fits of the same form to both; intervals by the bootstrap over prompts.

    Attributes:
        regressional: alpha of proxy minus alpha of gold, units of `Fit`: the part of the proxy's initial gain that gold
            does not share. Noise in the proxy is enough to cause it, and it alone never makes gold fall.
        extremal: beta of gold: the curvature that comes from leaving the distribution on which the proxy was trained.
        extremal_excess: beta of gold minus beta of proxy: the curvature that the proxy does not show.
        gamma: see `gamma`, over the measured range.
    """

    regressional: Estimate
    extremal: Estimate
    extremal_excess: Estimate
    gamma: Estimate


def decompose(form: Form, curve: Curve, resamples: int, rng: np.random.Generator, min_d: float = 0.0) -> Goodhart:
    """Decompose over-optimization into its components.

    Args:
        form: a form with coefficients alpha and beta alone.
        curve: proxy and gold per prompt; a resample uses the same prompts for both.
        resamples: number of resamples.
        rng: draws the resamples.
        min_d: points with d <= min_d are excluded from the fits (see `MIN_D`).

    Raises:
        ValueError: for another form, or if fewer than 3 points have distinct d > min_d.
    """
    if form.dof != 2:
        raise ValueError(f"form={form.name}, {form.formula}: a decomposition needs alpha and beta alone")
    d, _ = points_beyond(curve.sqrt_kl_S, curve.gold_S, min_d)
    used_S = curve.sqrt_kl_S > min_d
    both_SP = np.concatenate([curve.gold_SP[used_S], curve.proxy_SP[used_S]])
    means_WS = np.vstack([both_SP.mean(axis=1), resampled_means(both_SP, resamples, rng)])  # the curve itself first
    solve = np.linalg.pinv(form.columns(d)).T
    gold_WA, proxy_WA = (half_WS @ solve for half_WS in np.split(means_WS, 2, axis=1))
    return Goodhart(
        regressional=_estimate(proxy_WA[:, 0] - gold_WA[:, 0]),
        extremal=_estimate(gold_WA[:, 1]),
        extremal_excess=_estimate(gold_WA[:, 1] - proxy_WA[:, 1]),
        gamma=_estimate(gamma(form, gold_WA, proxy_WA, float(d.max()))),
    )


def gamma(form: Form, gold: ArrayLike, proxy: ArrayLike, max_d: float) -> Array:
    """Area between the laws of gold and proxy over the area under gold's (Kim et al. 2025, arXiv 2505.12763).

    Args:
        form: the form of both; best-of-n's in the paper.
        gold, proxy: coefficients. Shape: (..., A).
        max_d: upper end of both areas, which begin at d = 0, square-root nats.

    Returns:
        0 if proxy and gold agree, 1 or more if gold retains nothing; nan if the area under gold's law is not positive,
        where gamma is undefined. It is unbounded as that area approaches 0. Shape: (...).
    """
    columns = form.columns((np.arange(1000) + 0.5) * max_d / 1000).T  # midpoint rule
    f, g = np.asarray(gold) @ columns, np.asarray(proxy) @ columns
    area = f.mean(axis=-1)
    return np.abs(f - g).mean(axis=-1) / np.where(area > 0, area, np.nan)


def gaussian_best_of_n(rho: float, n: ArrayLike) -> Array:
    """Gold of best-of-n if proxy and gold are jointly Gaussian: rho E[max of n], purely regressional.

    Almost linear in d, with slope 1.28 rho to 1.35 rho, and without a peak: a peak is evidence of extremal Goodhart.

    Args:
        rho: correlation of proxy and gold over the initial policy's responses to a prompt.
        n: responses to choose from, 1 or more. Any shape.

    Returns:
        standard deviations of gold, exact to 1e-10 up to n = 1e12. Shape of `n`.
    """
    n = np.asarray(n, dtype=np.float64)[..., None]
    x = np.linspace(-14.0, 14.0, 2801)  # the trapezoidal sum converges exponentially for this integrand
    tail = np.array([math.erfc(value / math.sqrt(2)) / 2 for value in np.abs(x)])
    log_cdf = np.where(x < 0, np.log(tail), np.log1p(-tail))
    log_density = -np.square(x) / 2 - math.log(2 * math.pi) / 2
    return rho * np.sum(x * n * np.exp(log_density + (n - 1) * log_cdf), axis=-1) * (x[1] - x[0])


def _estimate(values_W: Array) -> Estimate:
    return Estimate(float(values_W[0]), *interval_95(values_W[1:]))
