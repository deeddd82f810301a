"""Functional forms of gold as a function of d = sqrt(KL): the two laws of Gao et al. 2022, and alternatives.

All are 0 at d = 0 and linear in their coefficients, except for "power": its exponent is fitted, so it is a family of
such forms.

Axis letters: A coefficients (alpha, beta).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from mlproject.curve import Array
from mlproject.errors import UserError

_NEWTON_STEPS = 40


@dataclass(frozen=True)
class Form:
    """One functional form R(d), linear in its coefficients.

    Attributes:
        name: key in `FORMS`.
        formula: for display; a is alpha, b is beta.
        title: for display, before the word "law".
        columns: design matrix at d: (...) square-root nats -> (..., A).
        peak_d: the d >= 0 with the highest R, square-root nats, for arrays of alpha and of beta > 0; None for a form
            without a peak.
        dof: number of fitted coefficients, a fitted exponent included.
        with_exponent: for a family, returns its member with that exponent. The family itself has neither columns nor
            a peak.

    Examples:
        >>> from mlproject import FORMS
        >>> law = FORMS["best-of-n"]
        >>> law.formula
        'd (a - b d)'
        >>> law.value([0, 1, 2], [1.0, 0.25]).tolist()
        [0.0, 0.75, 1.0]
        >>> peak_kl, peak_gold = law.peak([1.0, 0.25])
        >>> float(peak_kl), float(peak_gold)
        (4.0, 1.0)
    """

    name: str
    formula: str
    title: str
    columns: Callable[[Array], Array]
    peak_d: Callable[[Array, Array], Array] | None = None
    dof: int = 2
    with_exponent: Callable[[float], Form] | None = None

    def value(self, d: ArrayLike, coef: ArrayLike) -> Array:
        """Gold at a distance from the initial policy.

        Args:
            d: square-root nats, 0 or more. Shape: (...).
            coef: alpha, or alpha and beta. Shape: (A,), or (..., A) for different coefficients at every d.

        Returns:
            gold, standard deviations. Shape: (...).
        """
        return np.sum(self.columns(np.asarray(d, dtype=np.float64)) * np.asarray(coef, dtype=np.float64), axis=-1)

    def peak(self, coef: ArrayLike) -> tuple[Array, Array]:
        """Peak KL and peak gold.

        Args:
            coef: alpha, or alpha and beta. Shape: (..., A).

        Returns:
            (peak KL, nats; peak gold, standard deviations): nan if there is no peak (beta not positive, or the peak
            beyond the range of a float), 0 if the law only falls. Shape: (...) each.
        """
        coef = np.asarray(coef, dtype=np.float64)
        if self.peak_d is None:
            return np.full(coef.shape[:-1], np.nan), np.full(coef.shape[:-1], np.nan)
        beta = np.where(coef[..., 1] > 0, coef[..., 1], np.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            d = self.peak_d(coef[..., 0], beta)
            kl, gold = np.square(d), self.value(d, coef)
        exists = np.isfinite(kl) & np.isfinite(gold)
        return np.where(exists, kl, np.nan), np.where(exists, gold, np.nan)


class Method(Protocol):
    """What the laws need to know of a way to optimize a policy; a `mlproject.optimization.Method` is one.

    Attributes:
        law: name of the form in `FORMS` that its gold follows.
        trains_policy: False where a curve point is an expectation over samples of the initial policy.
    """

    @property
    def law(self) -> str: ...

    @property
    def trains_policy(self) -> bool: ...


def law_for(method: str | Method) -> Form:
    """The law of a method.

    Args:
        method: the method, or its name: that of a registered method (see `mlproject.optimization`) has its law; any
            other stands for a trainer's own way to train a policy, and has the logarithmic one.

    Raises:
        UserError: for the name of a best-of-n that is not registered.
    """
    return FORMS[_method(method).law]


def rival_of(form: Form) -> Form:
    """The law of Gao et al. 2022 that a form is compared with: the other one of their two, else the logarithmic one."""
    return FORMS["best-of-n" if form.name == "rl" else "rl"]


def trains_policy(method: str | Method) -> bool:
    """Whether a method, or the method of a name (see `law_for`), trains a policy."""
    return _method(method).trains_policy


@dataclass(frozen=True)
class _NamedMethod:
    law: str
    trains_policy: bool


_TRAINED = _NamedMethod("rl", trains_policy=True)
_NAMED: dict[str, Method] = {"best-of-n": _NamedMethod("best-of-n", trains_policy=False)}


def name_method(name: str, method: Method) -> None:
    """Let a name stand for a method from now on; `mlproject.optimization.register` calls it."""
    _NAMED[name] = method


def _method(method: str | Method) -> Method:
    if not isinstance(method, str):
        return method
    if method not in _NAMED and "best-of-n" in method:
        raise UserError(
            f"method={method}: must be one of {', '.join(_NAMED)}, or the name of a method that trains a policy. "
            "Import mlproject.optimization, which registers the methods of this project, or give the Method itself."
        )
    return _NAMED.get(method, _TRAINED)


def _log(d: Array) -> Array:
    """log d; 0 at d = 0, where every form multiplies it by 0."""
    return np.log(np.where(d > 0, d, 1.0))


def _log1p_peak(alpha: Array, beta: Array) -> Array:
    """Solve a/b = log(1+d) + d/(1+d) for d by Newton's method in y = log(1+d).

    The right-hand side, y + 1 - exp(-y), is increasing, concave, and 0 at y = 0, so the steps increase to the solution
    without overshooting.
    """
    ratio = np.maximum(alpha / beta, 0.0)
    y = np.zeros_like(ratio)
    for _ in range(_NEWTON_STEPS):
        y = y - (y - np.expm1(-y) - ratio) / (1 + np.exp(-y))
    return np.expm1(y)


def _power(g: float) -> Form:
    return Form(
        "power",
        f"d (a - b d^{g:.3g})",
        "power",
        lambda d: np.stack([d, -(d ** (1 + g))], axis=-1),
        lambda alpha, beta: (np.maximum(alpha / beta, 0.0) / (1 + g)) ** (1 / g),
        dof=3,
    )


def _no_columns(d: Array) -> Array:
    raise TypeError("a family of forms has no columns; fit it, or use with_exponent")


FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form(
            "best-of-n",
            "d (a - b d)",
            "quadratic",
            lambda d: np.stack([d, -np.square(d)], axis=-1),
            lambda alpha, beta: np.maximum(alpha / beta, 0.0) / 2,
        ),
        Form(
            "rl",
            "d (a - b log d)",
            "logarithmic",
            lambda d: np.stack([d, -d * _log(d)], axis=-1),
            lambda alpha, beta: np.exp(alpha / beta - 1),
        ),
        Form("linear", "a d", "linear", lambda d: d[..., None], dof=1),
        Form(
            "log1p",
            "d (a - b log(1 + d))",
            "log(1 + d)",
            lambda d: np.stack([d, -d * np.log1p(d)], axis=-1),
            _log1p_peak,
        ),
        Form(
            "kl-quadratic",
            "a d^2 - b d^4",
            "KL-quadratic",
            lambda d: np.stack([np.square(d), -(d**4)], axis=-1),
            lambda alpha, beta: np.sqrt(np.maximum(alpha / beta, 0.0) / 2),
        ),
        Form("power", "d (a - b d^g)", "power", _no_columns, dof=3, with_exponent=_power),
    )
}
"""By name: "best-of-n" and "rl" are the laws of Gao et al. 2022, section 3.1; the others are alternatives."""
