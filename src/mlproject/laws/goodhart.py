"""What over-optimization consists of: regressional and extremal Goodhart (Gao et al. 2022, section 4.2).

Axis letters: P prompts, S curve points, B resamples, k coefficients (alpha, beta).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.curve import Curve
from mlproject.laws.bootstrap import interval_95, resampled_means
from mlproject.laws.fits import points_beyond
from mlproject.laws.forms import Form
from mlproject.laws.intervals import Estimate

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Goodhart:
    """How a proxy parts from gold, from fits of one form to both.

    Attributes:
        regressional: alpha of proxy less alpha of gold, units of `Fit`: what the proxy promises from the start and
            gold does not keep. Noise in the proxy is enough to cause it, and it alone never makes gold fall.
        extremal: beta of gold: the bend that comes of leaving the region where the proxy was fitted.
        extremal_excess: beta of gold less beta of proxy: the bend that the proxy does not show.
        gamma: see `gamma`, over the measured range.
    """

    regressional: Estimate
    extremal: Estimate
    extremal_excess: Estimate
    gamma: Estimate


def decompose(form: Form, curve: Curve, samples: int, rng: np.random.Generator, min_d: float = 0.0) -> Goodhart:
    """Split over-optimization into its parts.

    Args:
        form: a form of two coefficients.
        curve: proxy and gold per prompt; each resample takes the same prompts of both.
        samples: how many resamples.
        rng: draws the resamples.
        min_d: points with d <= min_d are left out of the fits (see `MIN_D`).

    Returns:
        the parts.

    Raises:
        ValueError: for a form without two coefficients, or fewer than 3 points with distinct d > min_d.
    """
    if form.dof != 2:
        raise ValueError(f"a decomposition needs a form of alpha and beta alone, got {form.name}: {form.formula}")
    d, _ = points_beyond(curve.sqrt_kl_S, curve.gold_S, min_d)
    used_S = curve.sqrt_kl_S > min_d
    both_SP = np.concatenate([curve.gold_SP[used_S], curve.proxy_SP[used_S]])
    means_BS = np.vstack([both_SP.mean(axis=1), resampled_means(both_SP, samples, rng)])  # the curve itself first
    solve = np.linalg.pinv(form.columns(d)).T
    gold_Bk, proxy_Bk = (half_BS @ solve for half_BS in np.split(means_BS, 2, axis=1))
    return Goodhart(
        regressional=_estimate(proxy_Bk[:, 0] - gold_Bk[:, 0]),
        extremal=_estimate(gold_Bk[:, 1]),
        extremal_excess=_estimate(gold_Bk[:, 1] - proxy_Bk[:, 1]),
        gamma=_estimate(gamma(form, gold_Bk, proxy_Bk, float(d.max()))),
    )


def gamma(form: Form, gold: ArrayLike, proxy: ArrayLike, max_d: float) -> Array:
    """Area between the laws of gold and proxy over the area under gold's (Kim et al. 2025, arXiv 2505.12763).

    Args:
        form: their form; the paper's is that of best-of-n.
        gold, proxy: coefficients. Shape: (..., k).
        max_d: both areas are from d = 0 to here, square-root nats.

    Returns:
        0 where proxy and gold agree, 1 or more where gold keeps nothing; nan where the area under gold's law is
        not positive, which has no reading. Just above that it has no bound. Shape: (...).
    """
    columns = form.columns((np.arange(1000) + 0.5) * max_d / 1000).T  # areas by the midpoint rule
    f, g = np.asarray(gold) @ columns, np.asarray(proxy) @ columns
    area = f.mean(axis=-1)
    return np.abs(f - g).mean(axis=-1) / np.where(area > 0, area, np.nan)


def gaussian_best_of_n(rho: float, n: ArrayLike) -> Array:
    """Gold of best-of-n where proxy and gold are jointly Gaussian: rho E[max of n], purely regressional.

    Almost a straight line in d, of slope 1.28 rho to 1.35 rho: without a peak, so that a peak is a sign of extremal
    Goodhart.

    Args:
        rho: correlation of proxy and gold over the initial policy's responses to a prompt.
        n: responses to choose from, 1 or more. Any shape.

    Returns:
        standard deviations of gold, exact to 1e-10 up to n = 1e12. Shape of `n`.
    """
    n = np.asarray(n, dtype=np.float64)[..., None]
    x = np.linspace(-14.0, 14.0, 2801)  # a plain sum converges exponentially on so smooth an integrand
    tail = np.array([math.erfc(value / math.sqrt(2)) / 2 for value in np.abs(x)])
    log_cdf = np.where(x < 0, np.log(tail), np.log1p(-tail))
    log_density = -np.square(x) / 2 - math.log(2 * math.pi) / 2
    return rho * np.sum(x * n * np.exp(log_density + (n - 1) * log_cdf), axis=-1) * (x[1] - x[0])


def _estimate(values_B: Array) -> Estimate:
    return Estimate(float(values_B[0]), *interval_95(values_B[1:]))
