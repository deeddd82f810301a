"""Forecast of a curve's peak while the policy is being optimized.

After each curve point, `Forecast` predicts where the peak is, how high it is, whether it has been passed, and beyond
which KL further optimization is expected to lose gold. See `posterior` for how the points are weighted and `prior` for
what the curves of other reward models add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlproject.curve import Array, CurvePoint
from mlproject.errors import NotFiniteError
from mlproject.laws.agreement import initial_agreement, log_likelihood
from mlproject.laws.fits import MIN_POINTS
from mlproject.laws.forms import Method, law_for
from mlproject.laws.intervals import Interval
from mlproject.laws.posterior import least_squares, posterior
from mlproject.laws.prior import Prior, points_of_law
from mlproject.laws.weighted import LEVEL, p_text, tail_probability

MAX_POINTS = 64
"""The largest number of points that a forecast uses."""

LARGEST = 1e9
"""KL (nats) and gold (standard deviations) beyond which nothing can be computed with a number, or was measured."""

_NAN = float("nan")


@dataclass(frozen=True)
class Prediction:
    """The predicted peak. Values are never infinite; nan if there are too few points for a prediction.

    Attributes:
        peak_kl: median of peak KL, nats.
        peak_kl_interval: its 95 % interval.
        peak_gold: median of peak gold, standard deviations.
        peak_gold_interval: its 95 % interval.
        p_past_peak: probability that the last point is past the peak.
        loses_beyond_kl: KL at which expected gold is highest, nats; optimization should stop there.
        gold_responses: number of gold-scored responses so far.
        points: number of curve points so far.
        has_prior: whether it started from the curves of other reward models, rather than from a weak prior.
        p_fit: probability of points as far from every law of the forecast as these, by noise and by the misfit that it
            allows for; nan where there are too few to tell. See `withheld`.

    Examples:
        >>> from mlproject import Forecast, points_from_summaries
        >>> points = points_from_summaries(range(3), kl_S=[0.0, 1.0, 2.0], gold_S=[0.0, 0.5, 0.6], gold_se_S=[0.02] * 3)
        >>> forecast = Forecast("ppo")
        >>> prediction = [forecast.update(point) for point in points][-1]
        >>> prediction.points, prediction.gold_responses, prediction.peak_kl  # too few points for a weak prior
        (3, 768, nan)
    """

    peak_kl: float
    peak_kl_interval: Interval
    peak_gold: float
    peak_gold_interval: Interval
    p_past_peak: float
    loses_beyond_kl: float
    gold_responses: int
    points: int
    has_prior: bool = False
    p_fit: float = _NAN

    @property
    def prior(self) -> str:
        """What it started from, as it is said to people."""
        return "a prior from other reward models' curves" if self.has_prior else "a weak prior"

    @property
    def is_known(self) -> bool:
        """Whether there were enough points for a prediction."""
        return bool(np.isfinite(self.peak_kl))

    @property
    def withheld(self) -> str:
        """Why the numbers of the forecast may not be quoted, in a few words; empty where they may.

        A forecast takes the curve for a law of a family with a misfit of limited size (see `posterior`), which is wider
        than the law that is fitted to finished curves: points that reject that law may well be explained by it. Where
        it is rejected too, its intervals mean nothing.
        """
        if not self.p_fit < LEVEL:
            return ""
        return f"these points lie farther from all its laws than it allows for ({p_text(self.p_fit)})"


def is_a_number(values: float | Array) -> bool:
    """Whether KL (nats) or gold scores (standard deviations) are numbers that a forecast can rest on."""
    return bool((np.abs(values) <= LARGEST).all())  # nan is not


class Forecast:
    """Forecast of the peak of one policy run.

    Args:
        method: what optimizes the policy, for its law (see `law_for`, which also says what is refused).
        prior: from the curves of other reward models; None uses a weak prior and predicts from the third point on.
        samples_per_prompt: responses per prompt behind a point's `gold_P`, to count gold-scored responses.

    Examples:
        >>> from mlproject import Forecast, points_from_summaries
        >>> kl = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0]
        >>> gold = [0.0, 0.38, 0.5, 0.59, 0.65, 0.62, 0.45, 0.28]
        >>> forecast = Forecast("ppo")
        >>> for point in points_from_summaries(range(8), kl, gold, gold_se_S=[0.03] * 8):
        ...     prediction = forecast.update(point)
        >>> round(prediction.p_past_peak, 1), prediction.peak_kl_interval[0] < 5 < prediction.peak_kl_interval[1]
        (1.0, True)
    """

    def __init__(self, method: str | Method, prior: Prior | None = None, samples_per_prompt: int = 1) -> None:
        law_for(method)  # refuses what it does not know
        self._method, self._prior, self._samples_per_prompt = method, prior, samples_per_prompt
        self._points: list[CurvePoint] = []
        self._gold_responses = 0

    def add(self, point: CurvePoint) -> None:
        """Add the next point without a prediction, as for all but the last of a finished run.

        Args, Raises: as for `update`.
        """
        prompts = len(point.gold_P)
        if prompts < 2 or (self._points and prompts != len(self._points[0].gold_P)):
            raise ValueError(f"got gold on {prompts} prompts; a forecast needs the same 2+ prompts at every point")
        for name, values in (("KL", point.kl), ("gold", point.gold_P)):
            if not is_a_number(values):
                problem = f"must be finite for a forecast, and at most {LARGEST:g}, but is not"
                raise NotFiniteError(f"{name} at step {point.step}", problem, "Leave the point out.")
        self._points.append(point)
        self._gold_responses += prompts * self._samples_per_prompt

    def update(self, point: CurvePoint) -> Prediction:
        """Add the next point and predict.

        Args:
            point: gold and proxy on 2 or more prompts, the same at every point.

        Raises:
            ValueError: for a single prompt, or a different number of prompts than before.
            NotFiniteError: for a KL or gold of nan or infinity, or beyond `LARGEST`.
        """
        self.add(point)
        points = self._thinned()
        d_S, gold_SP = points_of_law(self._method, points)
        if self._prior is None and len(np.unique(d_S[d_S > 0])) < MIN_POINTS:
            return self._prediction(_NAN, (_NAN, _NAN), _NAN, (_NAN, _NAN), _NAN, _NAN)
        prior = (self._prior or Prior.weak()).conditioned_on(initial_agreement(self._method, points))
        log_prior_L, gold_mean_L, gold_sd = prior.on_grid()
        log_prior_L = log_prior_L + log_likelihood(self._method, points, log_prior_L)
        belief = posterior(d_S, gold_SP, log_prior_L, gold_mean_L, gold_sd)
        kl, gold = belief.peak_kl([0.025, 0.5, 0.975]).tolist(), belief.peak_gold([0.025, 0.5, 0.975]).tolist()
        prediction = self._prediction(
            kl[1], (kl[0], kl[2]), gold[1], (gold[0], gold[2]), belief.probability_past(point.sqrt_kl), belief.best_kl()
        )
        return replace(prediction, p_fit=_p_fit(d_S, gold_SP))

    def _thinned(self) -> list[CurvePoint]:
        """All points, or `MAX_POINTS` evenly spaced ones, first and last included: neighbours carry little more."""
        even = np.linspace(0, len(self._points) - 1, min(len(self._points), MAX_POINTS)).round().astype(int)
        return [self._points[i] for i in even]

    def _prediction(
        self, kl: float, kl_interval: Interval, gold: float, gold_interval: Interval, p_past: float, beyond: float
    ) -> Prediction:
        responses, points, has_prior = self._gold_responses, len(self._points), self._prior is not None
        return Prediction(kl, kl_interval, gold, gold_interval, p_past, beyond, responses, points, has_prior)


def _p_fit(d_S: Array, gold_SP: Array) -> float:
    """Probability of points as far from the model as these; exponent, distance and height of the peak are fitted."""
    moved_S = d_S > 0
    dof = int(moved_S.sum()) - 3
    if dof < 1:
        return _NAN
    return tail_probability(least_squares(d_S[moved_S], gold_SP[moved_S]), dof, gold_SP.shape[1])


def forecast_of(
    method: str | Method, points: Sequence[CurvePoint], prior: Prior | None = None, samples_per_prompt: int = 1
) -> Prediction:
    """The forecast after the last of several points, as a `Forecast` that followed them one by one gives it.

    Args:
        method, prior, samples_per_prompt: see `Forecast`.
        points: one or more, of one run; taken in the order of their steps, since the last one is where the policy is.

    Raises:
        ValueError, NotFiniteError: as for `Forecast.update`.
    """
    forecast = Forecast(method, prior, samples_per_prompt)
    *earlier, last = sorted(points, key=lambda point: point.step)
    for point in earlier:
        forecast.add(point)
    return forecast.update(last)
