"""Foretelling the far end of a curve from its beginning (Gao et al. 2022, figure 26).

Axis letters: S curve points.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mlproject.laws.fits import compare, fit, strictest_min_d
from mlproject.laws.forms import FORMS, Form

LAST_VALUE = "last value"
"""Name of the naive rival: gold stays what it was at the last point before the cut."""


@dataclass(frozen=True)
class Extrapolation:
    """How well points before a cut foretell those beyond.

    Attributes:
        rmse: root mean squared error beyond the cut, standard deviations.
        peak_kl_error: predicted less measured peak KL, nats; nan where no peak is predicted, or where the measured
            peak is the last point, so that it may lie beyond.
        peak_gold_error: likewise, standard deviations. The measured peak is the highest point, whose noise makes it
            a little too high.
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
    """Fit each form to the points up to a KL and judge it on those beyond, beside the naive rival.

    Args:
        d_S: square-root nats. Shape: (S,).
        gold_S: gold, standard deviations. Shape: (S,).
        cut: points with KL <= cut are fitted, nats. The paper's for best-of-n is 6.
        forms: what to judge.
        min_d: points with d <= min_d are left out for every form; by default the strictest rule of any.

    Returns:
        by form name, and `LAST_VALUE`.

    Raises:
        ValueError: for fewer than 3 points before the cut, or none beyond.
    """
    forms = list(forms)
    d, gold = np.asarray(d_S, dtype=np.float64), np.asarray(gold_S, dtype=np.float64)
    min_d = strictest_min_d(forms) if min_d is None else min_d
    rmse = compare(forms, d, gold, min_d, max_d=float(np.sqrt(cut)))
    before = d <= np.sqrt(cut)
    top = int(gold.argmax())
    peak = np.array([d[top] ** 2, gold[top]]) if d[top] < d.max() else np.full(2, np.nan)
    found = {}
    for form in forms:
        kl_error, gold_error = fit(form, d[before], gold[before], min_d).peak() - peak
        found[form.name] = Extrapolation(rmse[form.name], float(kl_error), float(gold_error))
    last = gold[before][d[before].argmax()]
    return found | {LAST_VALUE: Extrapolation(float(np.sqrt(np.square(gold[~before] - last).mean())))}
