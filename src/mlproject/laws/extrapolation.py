"""Extrapolation: the end of a curve predicted from its beginning (Gao et al. 2022, figure 26).

Axis letters: S curve points.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mlproject.laws.fits import fit_form, largest_min_d, rmse_by_form
from mlproject.laws.forms import FORMS, Form

LAST_VALUE = "last value"
"""Name of the naive baseline: gold stays at its value at the last point before the cut."""


@dataclass(frozen=True)
class Extrapolation:
    """How well the points before a cut predict those beyond it.

    Attributes:
        rmse: root mean squared error beyond the cut, standard deviations.
        peak_kl_error: predicted minus measured peak KL, nats; nan if no peak is predicted, or if the highest point
            is the last one, so that the peak may lie beyond it.
        peak_gold_error: likewise, standard deviations. The measured peak is the highest point, which is biased
            slightly upwards by noise.
    """

    rmse: float
    peak_kl_error: float = float("nan")
    peak_gold_error: float = float("nan")


def extrapolate(
    d_S: ArrayLike,
    gold_S: ArrayLike,
    cut: float,
    forms: Iterable[Form] = tuple(FORMS.values()),
    min_d: float | None = None,
) -> dict[str, Extrapolation]:
    """Fit each form to the points up to a KL and score it on those beyond, beside the naive baseline.

    Args:
        d_S: square-root nats. Shape: (S,).
        gold_S: gold, standard deviations. Shape: (S,).
        cut: points with KL <= cut are fitted, nats; 6 for best-of-n in the paper.
        forms: the forms to score.
        min_d: points with d <= min_d are excluded for every form; by default the largest `MIN_D` of the forms.

    Returns:
        by form name, and `LAST_VALUE`.

    Raises:
        ValueError: if there are fewer than 3 points before the cut, or none beyond.
    """
    forms = list(forms)
    d, gold = np.asarray(d_S, dtype=np.float64), np.asarray(gold_S, dtype=np.float64)
    min_d = largest_min_d(forms) if min_d is None else min_d
    rmse = rmse_by_form(forms, d, gold, min_d, max_d=float(np.sqrt(cut)))
    before = d <= np.sqrt(cut)
    top = int(gold.argmax())
    peak = np.array([d[top] ** 2, gold[top]]) if d[top] < d.max() else np.full(2, np.nan)
    scores = {}
    for form in forms:
        kl_error, gold_error = fit_form(form, d[before], gold[before], min_d).peak() - peak
        scores[form.name] = Extrapolation(rmse[form.name], float(kl_error), float(gold_error))
    last = gold[before][d[before].argmax()]
    return scores | {LAST_VALUE: Extrapolation(float(np.sqrt(np.square(gold[~before] - last).mean())))}
