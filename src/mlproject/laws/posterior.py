"""Posterior distribution of a curve's peak given its noisy points, by quadrature over a grid of laws.

Both laws of Gao et al. 2022 belong to one family, d (a - b d^g): g = 1 for best-of-n, g -> 0 for RL. In terms of its
peak it is R(d) = G f(d / D) with f(x) = x (1 + (1 - x^g) / g), or x (1 - log x) for g = 0, where D is peak d and G peak
gold. A measured curve is modelled as R(d) + misfit + sampling noise, where

- the sampling noise has the empirical covariance over prompts: all points share their prompts;
- the misfit is a Brownian motion over d: deviations of real curves from the law are autocorrelated and grow with d.
  Its size is inferred like the other parameters.

D, g and the size of the misfit lie on a grid; given these, gold is normal in closed form, so nothing is sampled. A drop
that no law explains (a policy that breaks down) still counts: lower gold than before is evidence against a peak ahead.

Axis letters: P prompts, S curve points, E exponents, D peak distances, L laws (E x D, flattened), F misfit sizes,
Q quantiles, Z standard normal values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mlproject.curve import Array

EXPONENTS = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
"""From the RL law (0) over the best-of-n law (1) to curves that rise linearly for long and turn sharply."""

LOG_PEAK_D = np.linspace(np.log(0.3), np.log(18.0), 120)
"""Peak KL from .09 nats, below which the RL law does not hold, to 324, 3 times the latest peak in Gao et al. 2022."""

MISFITS = np.array([0.01, 0.03, 0.1])
"""Standard deviation of the misfit at d = 1, gold standard deviations: from an exact law to a rough tendency."""

JITTER = 0.01
"""Standard deviation of an independent error of every point, beside sampling noise (its KL is measured too)."""

EXPONENT_L, LOG_D_L = (grid_ED.ravel() for grid_ED in np.meshgrid(EXPONENTS, LOG_PEAK_D, indexing="ij"))

_Z = np.linspace(-3.0, 3.0, 25)
_WEIGHT_Z = np.exp(-np.square(_Z) / 2) / np.exp(-np.square(_Z) / 2).sum()


def rise(x: ArrayLike, exponent: ArrayLike) -> Array:
    """Gold relative to peak gold, the f(x) of the module docstring: 0 at x = 0, maximum f(1) = 1.

    Args:
        x: d / peak d, 0 or more. Shape: (...).
        exponent: g, 0 or more. Shape: (...), broadcast against x.
    """
    x, exponent = np.asarray(x, dtype=np.float64), np.asarray(exponent, dtype=np.float64)
    log_x = np.log(np.where(x > 0, x, 1.0))
    g = np.where(exponent > 0, exponent, 1.0)
    return x * (1 - np.where(exponent > 0, np.expm1(g * log_x) / g, log_x))


_STEP = LOG_PEAK_D[1] - LOG_PEAK_D[0]
_RISE_EDD = np.maximum(  # gold at every d of the grid, by peak d; bounded below by -1
    rise(np.exp(LOG_PEAK_D[:, None] - LOG_PEAK_D), EXPONENTS[:, None, None]), -1.0
)


@dataclass(frozen=True)
class Posterior:
    """A weighted grid of laws.

    Attributes:
        weight_FL: probability of each misfit size and law; sums to 1. Shape: (F, L).
        scale_FL: expected G, the peak of the law without misfit, 0 or more. Shape: (F, L).
        gold_FL, gold_sd_FL: mean and standard deviation of gold at peak d, misfit included. Shape: (F, L).
    """

    weight_FL: Array
    scale_FL: Array
    gold_FL: Array
    gold_sd_FL: Array

    @property
    def weight_L(self) -> Array:
        return self.weight_FL.sum(axis=0)

    def peak_kl(self, quantile_Q: Sequence[float]) -> Array:
        """Quantiles of peak KL, nats. Shape: (Q,)."""
        weight_D = self.weight_L.reshape(len(EXPONENTS), -1).sum(axis=0)
        edges = np.append(LOG_PEAK_D, LOG_PEAK_D[-1] + _STEP) - _STEP / 2
        return np.exp(2 * np.interp(quantile_Q, np.append(0.0, weight_D.cumsum()), edges))

    def peak_gold(self, quantile_Q: Sequence[float]) -> Array:
        """Quantiles of peak gold, standard deviations. Shape: (Q,)."""
        used = self.weight_FL > 1e-5 * self.weight_FL.max()
        values = (self.gold_FL[used][:, None] + self.gold_sd_FL[used][:, None] * _Z).ravel()
        weights = (self.weight_FL[used][:, None] * _WEIGHT_Z).ravel()
        order = values.argsort()
        below = weights[order].cumsum() - weights[order] / 2
        return np.interp(quantile_Q, below / weights.sum(), values[order])

    def probability_past(self, d: float) -> float:
        """Probability that peak d is less than d (square-root nats)."""
        share_L = np.clip((np.log(max(d, 1e-9)) - LOG_D_L) / _STEP + 0.5, 0.0, 1.0)
        return min(float(self.weight_L @ share_L), 1.0)

    def best_kl(self) -> float:
        """KL of the highest expected gold, nats; below the median peak if the fall is steeper than the rise."""
        weight_ED = (self.weight_FL * self.scale_FL).sum(axis=0).reshape(len(EXPONENTS), -1)
        return float(np.exp(2 * LOG_PEAK_D[np.einsum("exd,ed->x", _RISE_EDD, weight_ED).argmax()]))

    def moments(self) -> tuple[Array, Array]:
        """Mean and variance of (log peak d, peak gold). Shape: (2,) each."""
        log_d_FL = np.broadcast_to(LOG_D_L, self.weight_FL.shape)
        mean = np.array([(self.weight_FL * values).sum() for values in (log_d_FL, self.gold_FL)])
        spread = np.square(log_d_FL - mean[0]), np.square(self.gold_FL - mean[1]) + np.square(self.gold_sd_FL)
        return mean, np.array([(self.weight_FL * values).sum() for values in spread])


@dataclass(frozen=True)
class ScalePosterior:
    """Posterior of laws scale * shape(d) with a normal scale, given measurements.

    Attributes:
        log_evidence_L: log marginal likelihood of the measurements, up to a constant. Shape: (L,).
        scale_L, precision_L: posterior mean and precision (1 / variance) of each law's scale. Shape: (L,).
        whiten_SS: transforms the measurements to independent ones of variance 1. Shape: (S, S).
    """

    log_evidence_L: Array
    scale_L: Array
    precision_L: Array
    whiten_SS: Array


def infer_scale(y_S: Array, covariance_SS: Array, shape_SL: Array, mean_L: ArrayLike, sd: float) -> ScalePosterior:
    """Bayesian linear regression of each law's single coefficient, its scale.

    Args:
        y_S: measurements. Shape: (S,).
        covariance_SS: covariance of their errors. Shape: (S, S).
        shape_SL: each law at scale 1. Shape: (S, L).
        mean_L: prior mean of the scale. Shape: (L,) or ().
        sd: prior standard deviation of the scale.
    """
    whiten_SS = np.linalg.inv(np.linalg.cholesky(covariance_SS))
    white_S, white_SL = whiten_SS @ y_S, whiten_SS @ shape_SL
    precision_L = 1 / sd**2 + np.square(white_SL).sum(axis=0)
    scale_L = (np.asarray(mean_L) / sd**2 + white_S @ white_SL) / precision_L
    distance_L = white_S @ white_S + np.square(np.asarray(mean_L) / sd) - precision_L * np.square(scale_L)
    log_evidence_L = np.log(np.diag(whiten_SS)).sum() - (distance_L + np.log(precision_L)) / 2
    return ScalePosterior(log_evidence_L, scale_L, precision_L, whiten_SS)


def posterior(d_S: Array, gold_SP: Array, log_prior_L: Array, gold_mean_L: Array, gold_sd: float) -> Posterior:
    """Posterior of all laws given the points of a curve.

    Args:
        d_S: square-root nats; may be empty. Shape: (S,).
        gold_SP: gold per prompt, standard deviations, on 2 or more prompts. Shape: (S, P).
        log_prior_L: log prior weight of each law, up to a constant. Shape: (L,).
        gold_mean_L, gold_sd: prior mean and standard deviation of peak gold, given peak d. Shapes: (L,), ().
    """
    gold_S, points, peak_d_L = gold_SP.mean(axis=1), len(d_S), np.exp(LOG_D_L)
    noise_SS = np.cov(gold_SP).reshape(points, points) / gold_SP.shape[1] + JITTER**2 * np.eye(points)
    rise_SL = rise(d_S[:, None] / peak_d_L, EXPONENT_L)
    drop_L = -_drop_evidence(gold_SP) * (peak_d_L > d_S[-1]) if points else 0.0
    log_weight_FL, scale_FL, gold_FL, gold_var_FL = np.empty((4, len(MISFITS), len(LOG_D_L)))
    for f, variance in enumerate(np.square(MISFITS)):
        covariance_SS = noise_SS + variance * np.minimum(d_S[:, None], d_S)
        inferred = infer_scale(gold_S, covariance_SS, rise_SL, gold_mean_L, gold_sd)
        scale_FL[f] = np.maximum(inferred.scale_L, 0.0)  # a law with G < 0 has a trough, not a peak
        below_L = np.square(scale_FL[f] - inferred.scale_L) * inferred.precision_L
        log_weight_FL[f] = log_prior_L + drop_L + inferred.log_evidence_L - below_L / 2
        # the misfit at the peak, inferred from the residuals (kriging)
        gain_SL = inferred.whiten_SS @ (variance * np.minimum(d_S[:, None], peak_d_L))
        known_L = (inferred.whiten_SS @ rise_SL * gain_SL).sum(axis=0)
        gold_FL[f] = (1 - known_L) * scale_FL[f] + inferred.whiten_SS @ gold_S @ gain_SL
        rest_L = variance * peak_d_L - np.square(gain_SL).sum(axis=0)
        gold_var_FL[f] = np.square(1 - known_L) / inferred.precision_L + np.maximum(rest_L, 0.0)
    weight_FL = np.exp(log_weight_FL - log_weight_FL.max())
    return Posterior(weight_FL / weight_FL.sum(), scale_FL, gold_FL, np.sqrt(gold_var_FL))


def least_squares(d_S: Array, gold_SP: Array) -> float:
    """Residuals about the nearest law of the family, whitened by noise and the largest misfit that is allowed for.

    Args:
        d_S: square-root nats, above 0. Shape: (S,).
        gold_SP: gold per prompt, standard deviations. Shape: (S, P).

    Returns:
        the sum of their squares; in the mean the number of points less 3, or less, where the model holds.
    """
    noise_SS = np.cov(gold_SP).reshape(len(d_S), len(d_S)) / gold_SP.shape[1] + JITTER**2 * np.eye(len(d_S))
    covariance_SS = noise_SS + MISFITS[-1] ** 2 * np.minimum(d_S[:, None], d_S)
    whiten_SS = np.linalg.inv(np.linalg.cholesky(covariance_SS))
    white_S, white_SL = whiten_SS @ gold_SP.mean(axis=1), whiten_SS @ rise(d_S[:, None] / np.exp(LOG_D_L), EXPONENT_L)
    explained_L = np.square(np.maximum(white_S @ white_SL, 0.0)) / np.square(white_SL).sum(axis=0)
    return float(white_S @ white_S - explained_L.max())


def _drop_evidence(gold_SP: Array) -> float:
    """Evidence that gold is lower at the last point than at the best one, whatever the law: log odds, 0 or more.

    z^2 / 2 of the drop in standard errors, paired over prompts, minus a correction for choosing the best of the points.
    """
    drop_P = gold_SP[gold_SP.mean(axis=1).argmax()] - gold_SP[-1]
    se = max(float(np.std(drop_P, ddof=1)) / np.sqrt(len(drop_P)), JITTER)
    return max(float(drop_P.mean() / se) ** 2 / 2 - np.log(len(gold_SP)), 0.0)
