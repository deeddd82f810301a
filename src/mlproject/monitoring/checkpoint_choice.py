"""The choice of a checkpoint without gold: the peak of a test RM's score stands in for the gold peak.

Axis letters: S curve points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mlproject.curve import Array
from mlproject.laws import FORMS, MIN_D, fit_form

HIGHEST = "highest point"
_WINDOW = 3


def highest(kl_S: Array, values_S: Array) -> int:
    """Index of the highest value. Shapes: (S,)."""
    return int(values_S.argmax())


def smoothed(kl_S: Array, values_S: Array) -> int:
    """Index of the highest running mean over a point and its two neighbours (one at either end). Shapes: (S,)."""
    counts_S = np.convolve(np.ones(len(values_S)), np.ones(_WINDOW), mode="same")
    return int((np.convolve(values_S, np.ones(_WINDOW), mode="same") / counts_S).argmax())


def law_peak(kl_S: Array, values_S: Array) -> int:
    """Index of the last point up to the peak KL of the law of RL, fitted to the values; the last of all points where
    the law has no peak, the highest where it cannot be fitted. Shapes: (S,).
    """
    form = FORMS["rl"]
    try:
        peak_kl = fit_form(form, np.sqrt(np.maximum(kl_S, 0.0)), values_S, MIN_D[form.name]).peak()[0]
    except ValueError:  # too few points away from the start
        return highest(kl_S, values_S)
    within = np.flatnonzero(kl_S <= peak_kl) if np.isfinite(peak_kl) else [len(kl_S) - 1]
    return int(within[-1]) if len(within) else 0


WAYS: Mapping[str, Callable[[Array, Array], int]] = {
    HIGHEST: highest,
    "highest of a running mean of 3": smoothed,
    "peak of a fitted law": law_peak,
}
"""Ways to locate the peak of a noisy curve: (kl_S, values_S) -> index of the chosen point."""
