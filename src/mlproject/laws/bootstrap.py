"""Bootstrap intervals of a fitted law, by resampling prompts.

All points of a curve share their prompts, so their errors are correlated: resampling points would give intervals that
are far too narrow.

Axis letters: P prompts, S curve points, W bootstrap resamples, A coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlproject.curve import Array, Curve
from mlproject.laws.fits import fit_form
from mlproject.laws.forms import Form
from mlproject.laws.intervals import Z_975, Interval, t_975


@dataclass(frozen=True)
class FitInterval:
    """95 % intervals of a fitted law over resamples of the prompts.

    Attributes:
        form: the functional form; for a family, its member that fits the curve best.
        alpha, beta: (low, high), units of `Fit`; beta is (0, 0) for "linear".
        peak_kl: (low, high), nats, over the resamples whose law has a peak; nan if none has one.
        peak_gold: likewise, standard deviations.
        peak_share: share of the resamples whose law has a peak; far below 1, the data do not bound the peak from
            above, whatever `peak_kl` is.
        resamples: number of resamples.
    """

    form: Form
    alpha: Interval
    beta: Interval
    peak_kl: Interval
    peak_gold: Interval
    peak_share: float
    resamples: int


def bootstrap_fit(
    form: Form, curve: Curve, resamples: int, rng: np.random.Generator, min_d: float = 0.0
) -> FitInterval:
    """Fit a form to resamples of a curve's prompts.

    The intervals contain neither the error of KL nor, for a family of forms, the choice of its member, which is made
    once on all prompts.

    Args:
        form: the functional form.
        curve: gold per prompt, on the same prompts at every point.
        resamples: number of resamples.
        rng: draws the resamples.
        min_d: points with d <= min_d are excluded (see `MIN_D`).

    Raises:
        ValueError: if fewer than 3 points have distinct d > min_d.
    """
    form = fit_form(form, curve.sqrt_kl_S, curve.gold_S, min_d).form
    used_S = curve.sqrt_kl_S > min_d
    gold_WS = resampled_means(curve.gold_SP[used_S], resamples, rng)
    coef_WA = gold_WS @ np.linalg.pinv(form.columns(curve.sqrt_kl_S[used_S])).T
    peak_kl_W, peak_gold_W = form.peak(coef_WA)
    return FitInterval(
        form=form,
        alpha=interval_95(coef_WA[:, 0]),
        beta=interval_95(coef_WA[:, 1]) if coef_WA.shape[1] > 1 else (0.0, 0.0),
        peak_kl=interval_95(peak_kl_W),
        peak_gold=interval_95(peak_gold_W),
        peak_share=float(np.isfinite(peak_kl_W).mean()),
        resamples=resamples,
    )


def resampled_means(scores_SP: Array, resamples: int, rng: np.random.Generator) -> Array:
    """Means over resampled prompts; all points of a resample use the same prompts.

    A resample varies less than a new draw of prompts: its variance is that of P prompts about their own mean, and its
    quantiles are normal where Student's t applies. Both make intervals too narrow, so the means are stretched about the
    mean of all prompts, by 1.8 % at 100 prompts and 10 % at 20 (the expanded percentile interval of Hesterberg 2015,
    arXiv 1411.5279).

    Args:
        scores_SP: scores per point and prompt. Shape: (S, P).
        resamples: number of resamples.
        rng: draws the prompts.

    Returns:
        mean scores, in the unit of the scores; nan for a single prompt. Shape: (W, S).
    """
    prompts = scores_SP.shape[1]
    counts_WP = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples)
    mean_S = scores_SP.mean(axis=1)
    stretch = np.sqrt(prompts / (prompts - 1)) * t_975(prompts - 1) / Z_975 if prompts > 1 else np.nan
    return mean_S + stretch * (counts_WP @ scores_SP.T / prompts - mean_S)


def interval_95(values_W: Array) -> Interval:
    """2.5th and 97.5th percentile of the finite values; nan if there are none.

    With ranks r / (W + 1), so that the interval is not too narrow for few resamples: numpy's default leaves out 3 %,
    not 2.5 %, on either side for W = 200.
    """
    finite = values_W[np.isfinite(values_W)]
    if not finite.size:
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5], method="weibull")
    return float(low), float(high)
