"""Least-squares fits of the functional forms, through the origin.

Axis letters: S curve points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mlproject.curve import Array
from mlproject.laws.forms import FORMS, Form

MIN_POINTS = 3

MIN_D: dict[str, float] = {name: 0.3 if name == "rl" else 0.0 for name in FORMS}
"""Points with d at or below this are excluded from a fit, square-root nats, by form.

The RL form has infinite slope at d = 0 and cannot hold there (Gao et al. 2022, section 3.1), so its fits exclude
d <= 0.3 (KL <= 0.09 nats); the others exclude only d = 0, which they pass through by construction.
"""


EXPONENTS = 2.0 ** np.linspace(-4, 2, 13)
"""Grid on which a fit of "power" searches its exponent: from 1/16 (almost logarithmic) over 1 (best-of-n) to 4."""


@dataclass(frozen=True)
class Fit:
    """A functional form with fitted coefficients.

    Attributes:
        form: the functional form; for a family, its member that fits best.
        alpha: standard deviations of gold per square-root nat (per nat for "kl-quadratic").
        beta: the downward curvature; 0 for "linear", which has none.
        rmse: root mean squared residual over the fitted points, standard deviations.
        r2: ordinary R^2, 1 - SS_residual / SS_total with SS_total about the mean of gold; nan if gold is constant.
        points: number of fitted points.

    Examples:
        >>> from mlproject import fit
        >>> law = fit(kl=[0, 1, 4, 9], gold=[0.0, 0.75, 1.0, 0.75], method="best-of-n")
        >>> [round(value, 6) for value in (law.alpha, law.beta, law.r2, *law.peak())]
        [1.0, 0.25, 1.0, 4.0, 1.0]
    """

    form: Form
    alpha: float
    beta: float
    rmse: float
    r2: float
    points: int

    @property
    def aic(self) -> float:
        """Akaike's information criterion over the fitted points (see `akaike`)."""
        return akaike(self.rmse, self.points, self.form.dof)

    def value(self, d: ArrayLike) -> Array:
        """Gold at d (square-root nats), standard deviations. Shape of `d`."""
        columns = self.form.columns(np.asarray(d, dtype=np.float64))
        return np.sum(columns * np.array([self.alpha, self.beta])[: columns.shape[-1]], axis=-1)

    def peak(self) -> tuple[float, float]:
        """(peak KL, nats; peak gold, standard deviations); nan if there is no peak, never infinite."""
        kl, gold = self.form.peak([self.alpha, self.beta])
        return float(kl), float(gold)


@dataclass(frozen=True)
class FormScore:
    """How well a form describes a curve, in range and held out.

    Attributes:
        rmse: root mean squared residual of the fit to all points, standard deviations.
        aic: Akaike's information criterion of that fit.
        held_out_rmse: root mean squared error, beyond the cut, of the fit to the points before it, standard deviations.
    """

    rmse: float
    aic: float
    held_out_rmse: float


def akaike(rmse: float, points: int, dof: int) -> float:
    """Akaike's information criterion of a least-squares fit, n log(RSS / n) + 2 dof; less is better.

    The points of one curve share their prompts and are not independent: use it to rank forms on identical points, but
    do not read its differences as odds.

    Args:
        rmse: root mean squared residual, sqrt(RSS / n).
        points: number of fitted points, n.
        dof: number of fitted coefficients.

    Returns:
        the criterion; -inf for a perfect fit.
    """
    return 2 * points * math.log(rmse) + 2 * dof if rmse > 0 else -math.inf


def fit_form(form: Form, d_S: ArrayLike, gold_S: ArrayLike, min_d: float = 0.0) -> Fit:
    """Fit a form by least squares through the origin.

    Args:
        form: the functional form; for a family, the member of least rmse is returned.
        d_S: square-root nats. Shape: (S,).
        gold_S: gold relative to the initial policy, standard deviations. Shape: (S,).
        min_d: points with d <= min_d are excluded (see `MIN_D`).

    Returns:
        the fit, with errors over the points used.

    Raises:
        ValueError: if fewer than 3 points have distinct d > min_d.

    Examples:
        >>> import numpy as np
        >>> from mlproject.laws import FORMS, fit_form
        >>> kl = [0.25, 1.0, 4.0, 9.0, 16.0]  # nats
        >>> gold = [0.35, 0.5, 0.58, 0.51, 0.34]  # standard deviations above the initial policy
        >>> law = fit_form(FORMS["rl"], np.sqrt(kl), gold)
        >>> f"peak {law.peak()[1]:.2f} at {law.peak()[0]:.1f} nats"
        'peak 0.58 at 3.8 nats'
    """
    d, gold = points_beyond(d_S, gold_S, min_d)
    if form.with_exponent is None:
        return _least_squares(form, d, gold)
    exponents = EXPONENTS
    for _ in range(5):  # refine the grid between the neighbours of the best exponent
        laws = [_least_squares(form.with_exponent(g), d, gold) for g in exponents.tolist()]
        best = int(np.argmin([law.rmse for law in laws]))
        low, high = exponents[max(best - 1, 0)], exponents[min(best + 1, len(exponents) - 1)]
        exponents = np.geomspace(low, high, len(exponents))
    return laws[best]


def rmse_by_form(
    forms: Iterable[Form],
    d_S: ArrayLike,
    gold_S: ArrayLike,
    min_d: float | None = None,
    max_d: float | None = None,
) -> dict[str, float]:
    """Root mean squared error of several forms on identical points.

    Args:
        forms: the forms to compare.
        d_S: square-root nats. Shape: (S,).
        gold_S: gold, standard deviations. Shape: (S,).
        min_d: points with d <= min_d are excluded for every form; by default the largest `MIN_D` of the forms.
        max_d: fit only points with d <= max_d and score the forms on the points beyond; by default fit and score
            all points. Forms that agree in range differ here (Gao et al. 2022, figure 26).

    Returns:
        rmse by form name, standard deviations.

    Raises:
        ValueError: if there are fewer than 3 points to fit, or none to score.
    """
    forms = list(forms)
    min_d = largest_min_d(forms) if min_d is None else min_d
    d, gold = points_beyond(d_S, gold_S, min_d)
    fitted = np.ones(len(d), dtype=bool) if max_d is None else d <= max_d
    scored = fitted if max_d is None else ~fitted
    if not scored.any():
        raise ValueError(f"max_d={max_d}: no point lies beyond it to score the forms on")
    errors = {
        form.name: gold[scored] - fit_form(form, d[fitted], gold[fitted], min_d).value(d[scored]) for form in forms
    }
    return {name: float(np.sqrt(np.square(error).mean())) for name, error in errors.items()}


def score_forms(
    forms: Iterable[Form], d_S: ArrayLike, gold_S: ArrayLike, max_d: float, min_d: float | None = None
) -> dict[str, FormScore]:
    """Score several forms on identical points, in range and held out.

    Args:
        forms, d_S, gold_S, min_d: as for `rmse_by_form`.
        max_d: the cut; the held-out points are those beyond, square-root nats.

    Returns:
        by form name.

    Raises:
        ValueError: as for `rmse_by_form`.
    """
    forms = list(forms)
    min_d = largest_min_d(forms) if min_d is None else min_d
    held_out = rmse_by_form(forms, d_S, gold_S, min_d, max_d)
    laws = [fit_form(form, d_S, gold_S, min_d) for form in forms]
    return {law.form.name: FormScore(law.rmse, law.aic, held_out[law.form.name]) for law in laws}


def largest_min_d(forms: Iterable[Form]) -> float:
    """The largest `MIN_D` of several forms, square-root nats: all of them can be fitted to the points beyond it."""
    return max(MIN_D[form.name] for form in forms)


def _least_squares(form: Form, d: Array, gold: Array) -> Fit:
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


def points_beyond(d_S: ArrayLike, gold_S: ArrayLike, min_d: float) -> tuple[Array, Array]:
    """The points (d, gold) with d > min_d.

    Raises:
        ValueError: if fewer than 3 of them have distinct d.
    """
    d, gold = np.asarray(d_S, dtype=np.float64), np.asarray(gold_S, dtype=np.float64)
    used = d > min_d
    if len(np.unique(d[used])) < MIN_POINTS:
        raise ValueError(f"a fit needs {MIN_POINTS}+ points with distinct d > {min_d}, got {np.unique(d[used]).size}")
    return d[used], gold[used]
