"""What the noisy points of a curve say about its peak, by quadrature over a grid of laws.

Both laws of Gao et al. 2022 belong to one family, d (a - b d^g): g = 1 is best-of-n's, g -> 0 is RL's. Said by its peak
it is R(d) = G f(d / D) with f(x) = x (1 + (1 - x^g) / g), or x (1 - log x) for g = 0: D is peak d, G peak gold. A
measured curve is taken for R(d) + misfit + sampling noise, where

- sampling noise has the covariance that the prompts' own scores show: all points share their prompts;
- misfit is a Brownian motion over d: what a real curve does and no law says is autocorrelated, and less certain
  further out. Its size is weighed by the evidence like everything else.

D, g and the size of the misfit lie on a grid; given them, gold is normal in closed form. Nothing is sampled. A fall
that no law explains (a policy that breaks down) still counts: gold lower than it was speaks against a peak ahead.

Axis letters: P prompts, S curve points, E exponents, D peak distances, H laws (E x D, flattened), M sizes of misfit,
Q quantiles, Z values of a standard normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

EXPONENTS = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
"""From RL's law (0) over best-of-n's (1) to curves that rise straight for long and turn sharply."""

LOG_PEAK_D = np.linspace(np.log(0.3), np.log(18.0), 120)
"""Peak KL from .09 nats, below which RL's law does not hold, to 324, three times the latest peak of Gao et al. 2022."""

MISFITS = np.array([0.01, 0.03, 0.1])
"""Standard deviation of the misfit at d = 1, gold standard deviations: from an exact law to a mere tendency."""

JITTER = 0.01
"""Standard deviation of every point's own error beside its prompts' (its KL is measured too)."""

EXPONENT_H, LOG_D_H = (grid_ED.ravel() for grid_ED in np.meshgrid(EXPONENTS, LOG_PEAK_D, indexing="ij"))

_Z = np.linspace(-3.0, 3.0, 25)
_WEIGHT_Z = np.exp(-np.square(_Z) / 2) / np.exp(-np.square(_Z) / 2).sum()


def rise(x: ArrayLike, exponent: ArrayLike) -> Array:
    """Gold over peak gold, the f(x) above: 0 at x = 0, highest at f(1) = 1.

    Args:
        x: d over peak d, 0 or more. Shape: (...).
        exponent: g, 0 or more. Shape: (...), broadcast against x.
    """
    x, exponent = np.asarray(x, dtype=np.float64), np.asarray(exponent, dtype=np.float64)
    log_x = np.log(np.where(x > 0, x, 1.0))
    g = np.where(exponent > 0, exponent, 1.0)
    return x * (1 - np.where(exponent > 0, np.expm1(g * log_x) / g, log_x))


_STEP = LOG_PEAK_D[1] - LOG_PEAK_D[0]
_RISE_EDD = np.maximum(  # gold at every d of the grid, by peak d; a fall ends where the rise began, mirrored
    rise(np.exp(LOG_PEAK_D[:, None] - LOG_PEAK_D), EXPONENTS[:, None, None]), -1.0
)


@dataclass(frozen=True)
class Posterior:
    """A weighted grid of laws.

    Attributes:
        weight_MH: probability of each size of misfit and law; sums to 1.
        scale_MH: expected G, the peak of the law alone, 0 or more.
        gold_MH, gold_sd_MH: mean and standard deviation of gold at peak d, misfit included.
    """

    weight_MH: Array
    scale_MH: Array
    gold_MH: Array
    gold_sd_MH: Array

    @property
    def weight_H(self) -> Array:
        return self.weight_MH.sum(axis=0)

    def peak_kl(self, quantile_Q: Sequence[float]) -> Array:
        """Quantiles of peak KL, nats. Shape: (Q,)."""
        weight_D = self.weight_H.reshape(len(EXPONENTS), -1).sum(axis=0)
        edges = np.append(LOG_PEAK_D, LOG_PEAK_D[-1] + _STEP) - _STEP / 2
        return np.exp(2 * np.interp(quantile_Q, np.append(0.0, weight_D.cumsum()), edges))

    def peak_gold(self, quantile_Q: Sequence[float]) -> Array:
        """Quantiles of peak gold, standard deviations. Shape: (Q,)."""
        used = self.weight_MH > 1e-5 * self.weight_MH.max()
        values = (self.gold_MH[used][:, None] + self.gold_sd_MH[used][:, None] * _Z).ravel()
        weights = (self.weight_MH[used][:, None] * _WEIGHT_Z).ravel()
        order = values.argsort()
        below = weights[order].cumsum() - weights[order] / 2
        return np.interp(quantile_Q, below / weights.sum(), values[order])

    def probability_past(self, d: float) -> float:
        """Probability that peak d is less than d (square-root nats)."""
        share_H = np.clip((np.log(max(d, 1e-9)) - LOG_D_H) / _STEP + 0.5, 0.0, 1.0)
        return min(float(self.weight_H @ share_H), 1.0)

    def best_kl(self) -> float:
        """Where expected gold is highest, nats; before the likely peak if the fall is steeper than the rise."""
        weight_ED = (self.weight_MH * self.scale_MH).sum(axis=0).reshape(len(EXPONENTS), -1)
        return float(np.exp(2 * LOG_PEAK_D[np.einsum("exd,ed->x", _RISE_EDD, weight_ED).argmax()]))

    def moments(self) -> tuple[Array, Array]:
        """Mean and variance of (log peak d, peak gold). Shape: (2,) each."""
        log_d_MH = np.broadcast_to(LOG_D_H, self.weight_MH.shape)
        mean = np.array([(self.weight_MH * values).sum() for values in (log_d_MH, self.gold_MH)])
        spread = np.square(log_d_MH - mean[0]), np.square(self.gold_MH - mean[1]) + np.square(self.gold_sd_MH)
        return mean, np.array([(self.weight_MH * values).sum() for values in spread])


@dataclass(frozen=True)
class ScalePosterior:
    """Laws scale * shape(d) with a normal scale, weighed by measurements.

    Attributes:
        log_evidence_H: logarithm of the probability density of the measurements, up to a constant.
        scale_H, precision_H: mean and 1 / variance of each law's scale.
        whiten_SS: turns measurements into independent ones of variance 1.
    """

    log_evidence_H: Array
    scale_H: Array
    precision_H: Array
    whiten_SS: Array


def infer_scale(y_S: Array, covariance_SS: Array, shape_SH: Array, mean_H: ArrayLike, sd: float) -> ScalePosterior:
    """Bayes' rule for a family of laws of one linear coefficient each.

    Args:
        y_S: measurements. Shape: (S,).
        covariance_SS: of their errors. Shape: (S, S).
        shape_SH: each law at scale 1. Shape: (S, H).
        mean_H, sd: mean (by law, or one) and standard deviation of the scale before the measurements.
    """
    whiten_SS = np.linalg.inv(np.linalg.cholesky(covariance_SS))
    white_S, white_SH = whiten_SS @ y_S, whiten_SS @ shape_SH
    precision_H = 1 / sd**2 + np.square(white_SH).sum(axis=0)
    scale_H = (np.asarray(mean_H) / sd**2 + white_S @ white_SH) / precision_H
    distance_H = white_S @ white_S + np.square(np.asarray(mean_H) / sd) - precision_H * np.square(scale_H)
    log_evidence_H = np.log(np.diag(whiten_SS)).sum() - (distance_H + np.log(precision_H)) / 2
    return ScalePosterior(log_evidence_H, scale_H, precision_H, whiten_SS)


def posterior(d_S: Array, gold_SP: Array, log_prior_H: Array, gold_mean_H: Array, gold_sd: float) -> Posterior:
    """Weigh all laws by the points of a curve.

    Args:
        d_S: square-root nats; none at all is fine. Shape: (S,).
        gold_SP: gold per prompt, standard deviations, on 2 or more prompts. Shape: (S, P).
        log_prior_H: logarithm of each law's weight before any point, up to a constant. Shape: (H,).
        gold_mean_H, gold_sd: mean and standard deviation of peak gold for each peak d before any point. Shape: (H,).
    """
    gold_S, points, peak_d_H = gold_SP.mean(axis=1), len(d_S), np.exp(LOG_D_H)
    noise_SS = np.cov(gold_SP).reshape(points, points) / gold_SP.shape[1] + JITTER**2 * np.eye(points)
    rise_SH = rise(d_S[:, None] / peak_d_H, EXPONENT_H)
    fallen_H = -_fall(gold_SP) * (peak_d_H > d_S[-1]) if points else 0.0
    log_weight_MH, scale_MH, gold_MH, gold_var_MH = np.empty((4, len(MISFITS), len(LOG_D_H)))
    for m, variance in enumerate(np.square(MISFITS)):
        covariance_SS = noise_SS + variance * np.minimum(d_S[:, None], d_S)
        weighing = infer_scale(gold_S, covariance_SS, rise_SH, gold_mean_H, gold_sd)
        scale_MH[m] = np.maximum(weighing.scale_H, 0.0)  # with G < 0 a law has no peak but a trough
        below_H = np.square(scale_MH[m] - weighing.scale_H) * weighing.precision_H
        log_weight_MH[m] = log_prior_H + fallen_H + weighing.log_evidence_H - below_H / 2
        # the misfit at the peak, as far as the residuals show it (kriging)
        gain_SH = weighing.whiten_SS @ (variance * np.minimum(d_S[:, None], peak_d_H))
        seen_H = (weighing.whiten_SS @ rise_SH * gain_SH).sum(axis=0)
        gold_MH[m] = (1 - seen_H) * scale_MH[m] + weighing.whiten_SS @ gold_S @ gain_SH
        unseen_H = variance * peak_d_H - np.square(gain_SH).sum(axis=0)
        gold_var_MH[m] = np.square(1 - seen_H) / weighing.precision_H + np.maximum(unseen_H, 0.0)
    weight_MH = np.exp(log_weight_MH - log_weight_MH.max())
    return Posterior(weight_MH / weight_MH.sum(), scale_MH, gold_MH, np.sqrt(gold_var_MH))


def _fall(gold_SP: Array) -> float:
    """Evidence that gold is lower at the last point than at the best so far, whatever the law: log odds, 0 or more.

    z^2 / 2 for the drop in standard errors, paired over prompts, less what choosing the best of the points explains.
    """
    drop_P = gold_SP[gold_SP.mean(axis=1).argmax()] - gold_SP[-1]
    se = max(float(np.std(drop_P, ddof=1)) / np.sqrt(len(drop_P)), JITTER)
    return max(float(drop_P.mean() / se) ** 2 / 2 - np.log(len(gold_SP)), 0.0)
