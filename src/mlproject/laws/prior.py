"""Prior of a curve's peak: from the curves of other reward models, or weakly informative.

Over RM sizes, alpha and beta change smoothly with log10 of the parameters (Gao et al. 2022, section 3.2), and so do the
log peak d and peak gold that follow from them. Size is not everything: how well a proxy is trained depends on its seed
as well. A third quantity, which a run shows at its start, captures this: its agreement with gold. The three quantities
(log agreement, log peak d, peak gold) are jointly normal about straight lines over log10 parameters, and the measured
agreement of a run updates the other two. Arrays over these three have the axis 3.

Axis letters: P prompts, S curve points, C curves, E exponents, L laws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlproject.curve import Array, Curve, CurvePoint
from mlproject.laws.agreement import initial_agreement
from mlproject.laws.fits import MIN_D
from mlproject.laws.forms import Method, law_for
from mlproject.laws.posterior import EXPONENT_L, EXPONENTS, LOG_D_L, LOG_PEAK_D, Posterior, posterior

_SCATTER_3 = np.array([0.1, 0.25, 0.2])
"""Prior standard deviation among curves of one RM size, for few curves."""

_SCATTER_WEIGHT = 0.25
"""Weight of that prior, in curves."""

_SLOPE_3 = np.array([0.3, 0.5, 0.3])
"""Prior standard deviation of the change per tenfold size: the uncertainty if curves of a single size are known."""

_STORED = {"mean_3": "mean_k", "covariance_33": "covariance_kk", "exponent_E": "exponent_E"}
"""Keys under which a law run stores the attributes of a prior; fixed, because later steps read earlier runs."""

_REACH = 1.5
"""The exponent of a finished curve is inferred up to this multiple of its peak d: beyond it, laws fit poorly."""


def points_of_law(method: str | Method, points: Sequence[CurvePoint]) -> tuple[Array, Array]:
    """The points at which the law of a method can hold: d = 0 and beyond `MIN_D`.

    Returns:
        (d_S, gold_SP): square-root nats, and gold per prompt. Shapes: (S,), (S, P); (0,), (0, 2) if there are none.
    """
    valid = [point for point in points if not 0 < point.sqrt_kl <= MIN_D[law_for(method).name]]
    d_S = np.array([point.sqrt_kl for point in valid])
    return d_S, np.stack([point.gold_P for point in valid]) if valid else np.empty((0, 2))


@dataclass(frozen=True)
class Prior:
    """A normal prior of (log agreement, log peak d, peak gold), and a probability of each exponent.

    Attributes:
        mean_3: prior mean; d in square-root nats, gold in standard deviations. Shape: (3,).
        covariance_33: prior covariance. Shape: (3, 3).
        exponent_E: probability of each of `EXPONENTS`. Shape: (E,).

    Examples:
        >>> from mlproject import Curve, Forecast, Prior, points_from_summaries
        >>> kl = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
        >>> curves = {  # finished curves, by parameters of their reward model
        ...     size: [Curve.from_points(points_from_summaries(range(7), kl, gold, gold_se_S=[0.03] * 7))]
        ...     for size, gold in {
        ...         1_000: [0.0, 0.28, 0.35, 0.36, 0.29, 0.06, -0.4],
        ...         10_000: [0.0, 0.35, 0.46, 0.54, 0.55, 0.45, 0.15],
        ...     }.items()
        ... }
        >>> forecast = Forecast("ppo", Prior.from_curves("ppo", curves, rm_params=100_000))
        >>> prediction = forecast.update(points_from_summaries([0], [0.0], [0.0], [0.03])[0])
        >>> prediction.peak_kl > 3  # known before the policy has moved: larger reward models peak later
        True
    """

    mean_3: Array
    covariance_33: Array
    exponent_E: Array

    @classmethod
    def weak(cls) -> Prior:
        """Weakly informative: peak KL .3 to 120 nats, peak gold -.2 to 1.8 (Gao et al. 2022: 4 to 115, .5 to 1.2)."""
        uniform_E = np.full(len(EXPONENTS), 1 / len(EXPONENTS))
        return cls(np.array([0.0, np.log(2.5), 0.8]), np.diag(np.square([1.0, 0.75, 0.5])), uniform_E)

    @classmethod
    def from_curves(cls, method: str | Method, curves: Mapping[int, Sequence[Curve]], rm_params: float) -> Prior:
        """Prior for a reward model, from trends over the sizes of other reward models.

        Bayesian regression on log10 parameters, so that one size, or one curve, is enough. The covariance contains the
        scatter about the lines, the uncertainty of the lines, and that of the scatter. Curves with an uncertain peak
        have less weight.

        Args:
            method: the optimization method of all curves.
            curves: finished curves, by number of parameters of their reward model.
            rm_params: number of parameters of the reward model to predict for.

        Raises:
            ValueError: if there are no curves.
        """
        sized = [(float(np.log10(params)), curve) for params, group in curves.items() for curve in group]
        if not sized:
            raise ValueError("got no curves; a prior needs at least one")
        weak = cls.weak()
        peaks = [_peak_posterior(method, curve, weak) for _, curve in sized]
        y_C3 = np.array([_quantities(method, curve, peak) for (_, curve), peak in zip(sized, peaks, strict=True)])
        known_C = np.isfinite(y_C3[:, 0])
        y_C3[~known_C, 0] = y_C3[known_C, 0].mean() if known_C.any() else 0.0
        weight_C = 1 / (1 + np.array([peak.moments()[1][0] for peak in peaks]) / _SCATTER_3[1] ** 2)

        x_C = np.array([x for x, _ in sized])
        center = float(np.average(x_C, weights=weight_C))
        x_C2 = np.column_stack([np.ones(len(sized)), x_C - center])
        ridge_22 = np.diag([0.0, np.square(_SCATTER_3 / _SLOPE_3).mean()])
        inverse_22 = np.linalg.inv((x_C2.T * weight_C) @ x_C2 + ridge_22)
        line_23 = inverse_22 @ (x_C2.T * weight_C) @ y_C3
        residual_C3 = y_C3 - x_C2 @ line_23
        dof = _SCATTER_WEIGHT + max(float(weight_C.sum()) - 2, 0.0)
        scatter_33 = _SCATTER_WEIGHT * np.diag(np.square(_SCATTER_3)) + (residual_C3.T * weight_C) @ residual_C3
        student = 1 + 2 / max(dof - 2, 2.0)  # variance of Student's t with at least 4 degrees of freedom
        here_2 = np.array([1.0, np.log10(rm_params) - center])
        exponent_E = np.sum([peak.weight_L.reshape(len(EXPONENTS), -1).sum(axis=1) for peak in peaks], axis=0)
        return cls(
            mean_3=here_2 @ line_23,
            covariance_33=scatter_33 / dof * student * (1 + here_2 @ inverse_22 @ here_2),
            exponent_E=(exponent_E + weak.exponent_E) / (len(sized) + 1),
        )

    def conditioned_on(self, log_agreement: float) -> Prior:
        """The prior given the measured agreement of a run; unchanged for nan."""
        if not np.isfinite(log_agreement):
            return self
        gain_3 = self.covariance_33[0] / self.covariance_33[0, 0]
        mean_3 = self.mean_3 + gain_3 * (log_agreement - self.mean_3[0])
        return Prior(mean_3, self.covariance_33 - np.outer(gain_3, self.covariance_33[0]), self.exponent_E)

    def on_grid(self) -> tuple[Array, Array, float]:
        """The prior on the grid of laws, as `posterior` takes it.

        Returns:
            (log_prior_L, gold_mean_L, gold_sd): log weight of each law up to a constant, mean of peak gold given peak
            d, and its standard deviation. Shapes: (L,), (L,), ().
        """
        (mean_d, mean_gold), cov_22 = self.mean_3[1:], self.covariance_33[1:, 1:]
        log_exponent_L = np.repeat(np.log(self.exponent_E), len(EXPONENT_L) // len(EXPONENTS))
        slope = cov_22[0, 1] / cov_22[0, 0]
        log_prior_L = log_exponent_L - np.square(LOG_D_L - mean_d) / cov_22[0, 0] / 2
        return log_prior_L, mean_gold + slope * (LOG_D_L - mean_d), float(np.sqrt(cov_22[1, 1] - slope * cov_22[0, 1]))

    def to_dict(self) -> dict[str, Any]:
        """Lists of numbers by stored name, for JSON."""
        return {key: getattr(self, name).tolist() for name, key in _STORED.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Prior:
        """Read what `to_dict` wrote."""
        return cls(**{name: np.array(values[key], dtype=np.float64) for name, key in _STORED.items()})


def _peak_posterior(method: str | Method, curve: Curve, weak: Prior) -> Posterior:
    """The posterior given the points of a finished curve up to a little beyond its peak."""
    d_S, gold_SP = points_of_law(method, list(curve))
    near_S = d_S <= _REACH * curve.sqrt_kl_S[curve.gold_S.argmax()]
    return posterior(d_S[near_S], gold_SP[near_S], *weak.on_grid())


def _quantities(method: str | Method, curve: Curve, peak: Posterior) -> Array:
    """A finished curve's quantities: measured at its peak, or expected if gold is highest at the end. Shape: (3,)."""
    best = int(curve.gold_S.argmax())
    log_d, gold = max(np.log(max(curve.sqrt_kl_S[best], 1e-9)), LOG_PEAK_D[0]), curve.peak().gold
    if best == len(curve) - 1:
        log_d, gold = peak.moments()[0]
    return np.array([initial_agreement(method, list(curve)), log_d, gold])
