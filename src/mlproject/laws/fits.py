"""Least-squares fits of the functional forms, through the origin.

Axis letters: S curve points.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.laws.forms import FORMS, Form

Array = NDArray[np.float64]

MIN_POINTS = 3

MIN_D: dict[str, float] = {name: 0.3 if name == "rl" else 0.0 for name in FORMS}
"""Points with d at or below this are left out of a fit, square-root nats, by form.

The RL form has infinite slope at d = 0 and cannot hold there (Gao et al. 2022, section 3.1), so its fits
leave out d <= 0.3 (KL <= 0.09 nats); the others only d = 0, which they pass through by construction.
"""


@dataclass(frozen=True)
class Fit:
    """A functional form with fitted coefficients.

    Attributes:
        form: the functional form.
        alpha: standard deviations of gold per square-root nat (per nat for "kl-quadratic").
        beta: the bend downwards; 0 for "linear", which has none.
        rmse: root mean squared residual over the fitted points, standard deviations.
        r2: ordinary R^2, 1 - SS_residual / SS_total with SS_total about the mean of gold; nan where gold is
            constant.
        points: how many points were fitted.
    """

    form: Form
    alpha: float
    beta: float
    rmse: float
    r2: float
    points: int

    def value(self, d: ArrayLike) -> Array:
        """Gold that the law gives at d (square-root nats), standard deviations. Shape of `d`."""
        columns = self.form.columns(np.asarray(d, dtype=np.float64))
        return np.sum(columns * np.array([self.alpha, self.beta])[: columns.shape[-1]], axis=-1)

    def peak(self) -> tuple[float, float]:
        """(peak KL, nats; peak gold, standard deviations); nan where there is no peak, never infinite."""
        kl, gold = self.form.peak([self.alpha, self.beta])
        return float(kl), float(gold)


def fit(form: Form, d_S: ArrayLike, gold_S: ArrayLike, min_d: float = 0.0) -> Fit:
    """Fit a form by least squares through the origin.

    Args:
        form: the functional form.
        d_S: square-root nats. Shape: (S,).
        gold_S: gold, standard deviations above the initial policy. Shape: (S,).
        min_d: points with d <= min_d are left out (`MIN_D` has the rule of each form).

    Returns:
        the fit, with errors over the points that it used.

    Raises:
        ValueError: for fewer than 3 points with distinct d > min_d.
    """
    d, gold = _fitted_points(d_S, gold_S, min_d)
    coef = np.linalg.lstsq(form.columns(d), gold, rcond=None)[0]
    residual = gold - form.value(d, coef)
    total = float(np.square(gold - gold.mean()).sum())
    return Fit(
        form=form,
        alpha=float(coef[0]),
        beta=float(coef[1]) if len(coef) > 1 else 0.0,
        rmse=float(np.sqrt(np.square(residual).mean())),
        r2=1.0 - float(np.square(residual).sum()) / total if total > 0 else float("nan"),
        points=len(d),
    )


def compare(
    forms: Iterable[Form],
    d_S: ArrayLike,
    gold_S: ArrayLike,
    min_d: float | None = None,
    max_d: float | None = None,
) -> dict[str, float]:
    """Root mean squared error of several forms on identical points.

    Args:
        forms: what to compare.
        d_S: square-root nats. Shape: (S,).
        gold_S: gold, standard deviations. Shape: (S,).
        min_d: points with d <= min_d are left out for every form; by default the strictest rule of any.
        max_d: fit only points with d <= max_d and score the forms on those beyond, never fitted; by default
            fit and score all points. Forms that agree in range part company here (Gao et al. 2022, fig. 26).

    Returns:
        rmse by form name, standard deviations.

    Raises:
        ValueError: for fewer than 3 points to fit, or none to score.
    """
    forms = list(forms)
    if min_d is None:
        min_d = max(MIN_D[form.name] for form in forms)
    d, gold = _fitted_points(d_S, gold_S, min_d)
    fitted = np.ones(len(d), dtype=bool) if max_d is None else d <= max_d
    scored = fitted if max_d is None else ~fitted
    if not scored.any():
        raise ValueError(f"no point beyond max_d={max_d} to score the forms on")
    errors = {form.name: gold[scored] - fit(form, d[fitted], gold[fitted], min_d).value(d[scored]) for form in forms}
    return {name: float(np.sqrt(np.square(error).mean())) for name, error in errors.items()}


def _fitted_points(d_S: ArrayLike, gold_S: ArrayLike, min_d: float) -> tuple[Array, Array]:
    d, gold = np.asarray(d_S, dtype=np.float64), np.asarray(gold_S, dtype=np.float64)
    used = d > min_d
    if len(np.unique(d[used])) < MIN_POINTS:
        raise ValueError(f"a fit needs {MIN_POINTS}+ points with distinct d > {min_d}, got {np.unique(d[used]).size}")
    return d[used], gold[used]
