"""What is believed about a peak before it is in sight: from curves of other reward models, or next to nothing.

Over sizes, alpha and beta move smoothly with log10 of the parameters (Gao et al. 2022, section 3.2), and so does what
follows from them: log peak d and peak gold. Size is not all, for how well a proxy has learned depends on its seed too.
So a third quantity goes along that a run shows at its start, its agreement with gold: the three are jointly normal
about straight lines over log10 parameters, and a run's own agreement moves the other two.

Axis letters: P prompts, S curve points, R curves, k quantities (log agreement, log peak d, peak gold), E exponents,
H laws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.curve import Curve, CurvePoint
from mlproject.laws.agreement import initial_agreement
from mlproject.laws.fits import MIN_D
from mlproject.laws.forms import law_for
from mlproject.laws.posterior import EXPONENT_H, EXPONENTS, LOG_D_H, LOG_PEAK_D, Posterior, posterior

Array = NDArray[np.float64]

_SCATTER_k = np.array([0.1, 0.25, 0.2])
"""Standard deviations among curves of one size while too few are known to say."""

_SCATTER_WEIGHT = 0.25
"""How many curves that guess counts for."""

_SLOPE_k = np.array([0.3, 0.5, 0.3])
"""How far a tenfold size may well move the quantities, standard deviations: what a single known size leaves open."""

_REACH = 1.5
"""A whole curve's exponent is read up to this multiple of its peak d: further out, curves end in ways of their own."""


def points_of_law(method: str, points: Sequence[CurvePoint]) -> tuple[Array, Array]:
    """The points at which the law of a method can hold: d = 0 and beyond `MIN_D`.

    Returns:
        (d_S, gold_SP): square-root nats, and gold per prompt. Shapes: (S,), (S, P); (0,), (0, 2) where there is none.
    """
    kept = [point for point in points if not 0 < point.sqrt_kl <= MIN_D[law_for(method).name]]
    d_S = np.array([point.sqrt_kl for point in kept])
    return d_S, np.stack([point.gold_P for point in kept]) if kept else np.empty((0, 2))


@dataclass(frozen=True)
class Prior:
    """A normal belief about (log agreement, log peak d, peak gold), and how likely each exponent is.

    Attributes:
        mean_k: d in square-root nats, gold in standard deviations. Shape: (3,).
        covariance_kk: theirs. Shape: (3, 3).
        exponent_E: probability of each of `EXPONENTS`. Shape: (E,).
    """

    mean_k: Array
    covariance_kk: Array
    exponent_E: Array

    @classmethod
    def weak(cls) -> Prior:
        """Next to nothing: a peak at .3 to 120 nats, of -.2 to 1.8 (Gao et al. 2022: 4 to 115 nats, .5 to 1.2)."""
        even_E = np.full(len(EXPONENTS), 1 / len(EXPONENTS))
        return cls(np.array([0.0, np.log(2.5), 0.8]), np.diag(np.square([1.0, 0.75, 0.5])), even_E)

    @classmethod
    def from_curves(cls, method: str, curves: Mapping[int, Sequence[Curve]], rm_params: float) -> Prior:
        """Trends over the sizes of other reward models, read at this size.

        Bayesian regression on log10 parameters, so one size, or one curve, is enough. The covariance holds the scatter
        about the lines, the uncertainty of the lines and that of the scatter. Curves that bound their own peak less
        count less.

        Args:
            method: of all curves.
            curves: whole curves, by parameters of their reward model.
            rm_params: parameters of the reward model to predict for.

        Raises:
            ValueError: without any curve.
        """
        runs = [(float(np.log10(params)), curve) for params, many in curves.items() for curve in many]
        if not runs:
            raise ValueError("a prior needs at least one curve, got none")
        weak = cls.weak()
        found = [_around_peak(method, curve, weak) for _, curve in runs]
        y_Rk = np.array([_quantities(method, curve, own) for (_, curve), own in zip(runs, found, strict=True)])
        known_R = np.isfinite(y_Rk[:, 0])
        y_Rk[~known_R, 0] = y_Rk[known_R, 0].mean() if known_R.any() else 0.0
        weight_R = 1 / (1 + np.array([own.moments()[1][0] for own in found]) / _SCATTER_k[1] ** 2)

        x_R = np.array([x for x, _ in runs])
        center = float(np.average(x_R, weights=weight_R))
        x_R2 = np.column_stack([np.ones(len(runs)), x_R - center])
        ridge_22 = np.diag([0.0, np.square(_SCATTER_k / _SLOPE_k).mean()])
        inverse_22 = np.linalg.inv((x_R2.T * weight_R) @ x_R2 + ridge_22)
        line_2k = inverse_22 @ (x_R2.T * weight_R) @ y_Rk
        residual_Rk = y_Rk - x_R2 @ line_2k
        dof = _SCATTER_WEIGHT + max(float(weight_R.sum()) - 2, 0.0)
        scatter_kk = _SCATTER_WEIGHT * np.diag(np.square(_SCATTER_k)) + (residual_Rk.T * weight_R) @ residual_Rk
        student = 1 + 2 / max(dof - 2, 2.0)  # the variance of Student's t, of 4 degrees of freedom or more
        here_2 = np.array([1.0, np.log10(rm_params) - center])
        exponent_E = np.sum([own.weight_H.reshape(len(EXPONENTS), -1).sum(axis=1) for own in found], axis=0)
        return cls(
            mean_k=here_2 @ line_2k,
            covariance_kk=scatter_kk / dof * student * (1 + here_2 @ inverse_22 @ here_2),
            exponent_E=(exponent_E + weak.exponent_E) / (len(runs) + 1),
        )

    def conditioned_on(self, log_agreement: float) -> Prior:
        """The belief once a run has shown its agreement; the same belief for nan."""
        if not np.isfinite(log_agreement):
            return self
        gain_k = self.covariance_kk[0] / self.covariance_kk[0, 0]
        mean_k = self.mean_k + gain_k * (log_agreement - self.mean_k[0])
        return Prior(mean_k, self.covariance_kk - np.outer(gain_k, self.covariance_kk[0]), self.exponent_E)

    def on_grid(self) -> tuple[Array, Array, float]:
        """As `posterior` takes it.

        Returns:
            (log_prior_H, gold_mean_H, gold_sd): logarithm of each law's weight up to a constant, mean of peak gold
            given its peak d, and its standard deviation. Shapes: (H,), (H,), ().
        """
        (mean_d, mean_gold), cov_22 = self.mean_k[1:], self.covariance_kk[1:, 1:]
        log_exponent_H = np.repeat(np.log(self.exponent_E), len(EXPONENT_H) // len(EXPONENTS))
        slope = cov_22[0, 1] / cov_22[0, 0]
        log_prior_H = log_exponent_H - np.square(LOG_D_H - mean_d) / cov_22[0, 0] / 2
        return log_prior_H, mean_gold + slope * (LOG_D_H - mean_d), float(np.sqrt(cov_22[1, 1] - slope * cov_22[0, 1]))

    def to_dict(self) -> dict[str, Any]:
        """Lists of numbers, for JSON."""
        return {name: values.tolist() for name, values in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Prior:
        """Read what `to_dict` wrote."""
        return cls(**{name: np.array(value, dtype=np.float64) for name, value in values.items()})


def _around_peak(method: str, curve: Curve, weak: Prior) -> Posterior:
    """What a whole curve's points up to and around its peak say."""
    d_S, gold_SP = points_of_law(method, list(curve))
    near_S = d_S <= _REACH * curve.sqrt_kl_S[curve.gold_S.argmax()]
    return posterior(d_S[near_S], gold_SP[near_S], *weak.on_grid())


def _quantities(method: str, curve: Curve, own: Posterior) -> Array:
    """A whole curve's quantities: measured at its peak, or expected where gold was highest at the end. Shape: (k,)."""
    best = int(curve.gold_S.argmax())
    log_d, gold = max(np.log(max(curve.sqrt_kl_S[best], 1e-9)), LOG_PEAK_D[0]), curve.peak().gold
    if best == len(curve) - 1:
        log_d, gold = own.moments()[0]
    return np.array([initial_agreement(method, list(curve)), log_d, gold])
