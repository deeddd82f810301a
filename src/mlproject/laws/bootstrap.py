"""Intervals for a fitted law by the bootstrap over prompts.

All points of a curve share their prompts, so their errors move together: resampling points would give
intervals that are far too narrow. Axis letters: P prompts, S curve points, B resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlproject.curve import Curve
from mlproject.laws.fits import fit
from mlproject.laws.forms import Form
from mlproject.laws.intervals import Z_975, Interval, t_975

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FitInterval:
    """95 % percentile intervals of a fitted law over resamples of the prompts.

    Attributes:
        form: the functional form; of a family, the member that fits the curve itself best.
        alpha, beta: (low, high), units of `Fit`; beta is (0, 0) for "linear".
        peak_kl: (low, high), nats, among the resamples whose law has a peak; nan where none has.
        peak_gold: likewise, standard deviations.
        peak_share: share of the resamples whose law has a peak; much below 1 the data do not bound the peak
            from above, whatever `peak_kl` says.
        samples: how many resamples.
    """

    form: Form
    alpha: Interval
    beta: Interval
    peak_kl: Interval
    peak_gold: Interval
    peak_share: float
    samples: int


def bootstrap_fit(form: Form, curve: Curve, samples: int, rng: np.random.Generator, min_d: float = 0.0) -> FitInterval:
    """Fit a form to many curves made of resampled prompts.

    KL is taken as given: its error is not in the intervals. Nor is the choice of a family's member, which is made
    once, on all prompts.

    Args:
        form: the functional form.
        curve: gold per prompt, on the same prompts at every point.
        samples: how many resamples.
        rng: draws the resamples.
        min_d: points with d <= min_d are left out (see `MIN_D`).

    Returns:
        the intervals.

    Raises:
        ValueError: for fewer than 3 points with distinct d > min_d.
    """
    form = fit(form, curve.sqrt_kl_S, curve.gold_S, min_d).form
    used_S = curve.sqrt_kl_S > min_d
    gold_BS = resampled_means(curve.gold_SP[used_S], samples, rng)
    coef_Bk = gold_BS @ np.linalg.pinv(form.columns(curve.sqrt_kl_S[used_S])).T
    peak_kl_B, peak_gold_B = form.peak(coef_Bk)
    return FitInterval(
        form=form,
        alpha=interval_95(coef_Bk[:, 0]),
        beta=interval_95(coef_Bk[:, 1]) if coef_Bk.shape[1] > 1 else (0.0, 0.0),
        peak_kl=interval_95(peak_kl_B),
        peak_gold=interval_95(peak_gold_B),
        peak_share=float(np.isfinite(peak_kl_B).mean()),
        samples=samples,
    )


def resampled_means(scores_SP: Array, samples: int, rng: np.random.Generator) -> Array:
    """Means over resampled prompts, all points of a resample over the same prompts.

    A resample spreads less than a fresh draw of prompts: its variance is that of P prompts about their own mean,
    and its quantiles are the normal's where Student's t is called for. Both make intervals too narrow, so means are
    stretched about the mean of all prompts: by 1.8 % at 100 prompts, 10 % at 20 (the expanded percentile interval
    of Hesterberg 2015, arXiv 1411.5279).

    Args:
        scores_SP: scores per point and prompt. Shape: (S, P).
        samples: how many resamples.
        rng: draws the prompts.

    Returns:
        mean scores, in their unit; nan for a single prompt. Shape: (B, S).
    """
    prompts = scores_SP.shape[1]
    counts_BP = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=samples)
    mean_S = scores_SP.mean(axis=1)
    stretch = np.sqrt(prompts / (prompts - 1)) * t_975(prompts - 1) / Z_975 if prompts > 1 else np.nan
    return mean_S + stretch * (counts_BP @ scores_SP.T / prompts - mean_S)


def interval_95(values_B: Array) -> Interval:
    """2.5th and 97.5th percentile of the finite values; nan where there is none.

    By ranks r / (B + 1), so that few resamples do not make it narrow: numpy's default leaves out 3 %, not 2.5 %, on
    either side of 200.
    """
    finite = values_B[np.isfinite(values_B)]
    if not finite.size:
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5], method="weibull")
    return float(low), float(high)
