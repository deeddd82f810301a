"""A law fitted with the errors of its points, whether it fits at all, and the peak that it may be quoted for.

The errors of the points are those of the prompts that all points share, correlated between points. An ordinary fit
(`fits`) ignores both; it stays what laws are compared by, since it needs no errors.

Axis letters: A coefficients, P prompts, S curve points, W bootstrap resamples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mlproject.curve import Array, Curve, mean_and_se
from mlproject.laws.fits import MIN_D, MIN_POINTS
from mlproject.laws.forms import Form
from mlproject.laws.intervals import Estimate

LEVEL = 0.05
"""A law whose residuals are this improbable by noise alone does not fit."""
CLEAR_FALL = 3.0
"""A peak is quoted where gold at the end is this many paired standard errors below its highest point."""
MAX_RATIO = 4.0
"""Largest ratio between the ends of the interval of a quoted peak KL."""
DRAWS = 4000
SMALLEST_P = 0.001
MAX_POINTS = 64
"""The largest number of points that a fit with their errors uses."""

_UNKNOWN = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class LawPeak:
    """The peak of a law, or why there is none to quote.

    Attributes:
        kl: nats, with its 95 % interval.
        gold: standard deviations, with its 95 % interval.
        withheld: empty; or why the points do not determine a peak, in a few words, and both are nan.
        p_fit: probability of residuals as large as these where the law holds; nan where it could not be tested.
    """

    kl: Estimate
    gold: Estimate
    withheld: str = ""
    p_fit: float = math.nan

    @property
    def fits(self) -> bool:
        """Whether noise explains how far the points lie from the law; if not, it is drawn faint and not quoted."""
        return not self.p_fit < LEVEL


@dataclass(frozen=True)
class WeightedFit:
    """Coefficients by generalized least squares.

    Attributes:
        form: the functional form.
        coef_A: alpha, beta. Shape: (A,).
        covariance_AA: of the coefficients. Shape: (A, A).
        p_fit: probability of residuals as large as these where the law holds; nan without degrees of freedom.
        max_d: largest fitted d, square-root nats.
        fell: whether gold at the end is clearly below its highest point, without which no law knows of a peak.
    """

    form: Form
    coef_A: Array
    covariance_AA: Array
    p_fit: float
    max_d: float
    fell: bool

    def peak(self) -> LawPeak:
        """The peak, where law and points determine one."""
        if self.p_fit < LEVEL:
            return self._withheld(f"the law does not fit these points ({p_text(self.p_fit)})")
        kl, gold = (float(value) for value in self.form.peak(self.coef_A))
        if not math.isfinite(kl):
            return self._withheld("the law does not bend downwards on these points")
        if kl == 0:
            return self._withheld("the law only falls")
        if not self.fell or math.sqrt(kl) > self.max_d:
            return self._withheld("gold has not clearly fallen by the last point")
        draws_WA = np.random.default_rng(0).multivariate_normal(self.coef_A, self.covariance_AA, DRAWS)
        kl_W, gold_W = self.form.peak(draws_WA)
        bounded_W = np.where(np.isfinite(kl_W), kl_W, np.inf)
        kl_ends = np.quantile(bounded_W, [0.025, 0.975], method="nearest")
        gold_ends = np.nanquantile(gold_W, [0.025, 0.975])
        if not kl_ends[1] <= MAX_RATIO * max(kl_ends[0], 1e-9):
            return self._withheld("these points do not determine it")
        kl_estimate, gold_estimate = Estimate(kl, *map(float, kl_ends)), Estimate(gold, *map(float, gold_ends))
        return LawPeak(kl_estimate, gold_estimate, p_fit=self.p_fit)

    def _withheld(self, reason: str) -> LawPeak:
        return LawPeak(_UNKNOWN, _UNKNOWN, reason, self.p_fit)


def weighted_fit(form: Form, curve: Curve) -> WeightedFit:
    """Fit a form with the errors of the points.

    Args:
        form: a functional form, not a family of them.
        curve: gold per prompt, on the same prompts at every point. Points below `MIN_D` of the form are left out.

    Raises:
        ValueError: with fewer than three points of distinct d, or fewer prompts than points.
    """
    curve = curve.thinned(MAX_POINTS)
    used_S = curve.sqrt_kl_S > MIN_D[form.name]
    d_S, gold_SP = curve.sqrt_kl_S[used_S], curve.gold_SP[used_S]
    points, prompts = gold_SP.shape
    if len(np.unique(d_S)) < MIN_POINTS:
        raise ValueError(f"a fit needs {MIN_POINTS}+ points with distinct d > {MIN_D[form.name]}, got {points}")
    if prompts <= points + 2:
        raise ValueError(f"the errors of {points} points need {points + 3}+ prompts, got {prompts}")
    columns_SA = form.columns(d_S)
    weights_SS = np.linalg.pinv(np.cov(gold_SP) / prompts, hermitian=True)
    covariance_AA = np.linalg.inv(columns_SA.T @ weights_SS @ columns_SA)
    coef_A = covariance_AA @ columns_SA.T @ weights_SS @ gold_SP.mean(axis=1)
    residual_S = gold_SP.mean(axis=1) - columns_SA @ coef_A
    squares, dof = float(residual_S @ weights_SS @ residual_S), points - len(coef_A)
    return WeightedFit(
        form=form,
        coef_A=np.asarray(coef_A),
        covariance_AA=np.asarray(covariance_AA) * (prompts - 1) / (prompts - 1 - dof),  # the weights are estimates
        p_fit=tail_probability(squares, dof, prompts),
        max_d=float(d_S.max()),
        fell=_fell(gold_SP[np.argsort(d_S)]),
    )


def quoted_peak(form: Form, curve: Curve, is_tested: bool = True) -> LawPeak:
    """The peak that a law may be quoted for, of a curve of any length.

    Args:
        form: the law.
        curve: gold per prompt.
        is_tested: whether lack of fit withholds it; False where the errors of the points were estimated from their
            scatter about this very law, with which nothing can be tested.
    """
    try:
        fitted = weighted_fit(form, curve)
        return (fitted if is_tested else replace(fitted, p_fit=math.nan)).peak()
    except ValueError as error:
        return LawPeak(_UNKNOWN, _UNKNOWN, str(error))


def _fell(gold_SP: Array) -> bool:
    """Whether the last point is clearly below the highest one, paired over prompts."""
    lost, se = mean_and_se(gold_SP[gold_SP.mean(axis=1).argmax()] - gold_SP[-1])
    return lost > CLEAR_FALL * se


def p_text(p: float) -> str:
    """A tail probability as it is said: those of `tail_probability` are no finer than one in `DRAWS`."""
    return "p < 0.001" if p < SMALLEST_P else f"p = {p:.2g}"


def tail_probability(squares: float, dof: int, prompts: int) -> float:
    """Probability of whitened residuals as large as these: Hotelling's T squared about a fitted mean (Rao 1959).

    Args:
        squares: sum of squares of the residuals, whitened by a covariance that is estimated too.
        dof: points less fitted coefficients.
        prompts: number of prompts that the covariance is estimated from.

    Returns:
        nan where nothing can be tested.
    """
    if dof < 1 or prompts <= dof + 1:
        return math.nan
    rng = np.random.default_rng(0)
    remaining = prompts - dof
    f_W = (rng.chisquare(dof, DRAWS) / dof) / (rng.chisquare(remaining, DRAWS) / remaining)
    observed = squares * remaining / ((prompts - 1) * dof)
    return float((np.count_nonzero(f_W >= observed) + 1) / (DRAWS + 1))
