"""The peak of a curve, predicted while the curve is being drawn.

`Forecast` reads curve points as they come and says after each where the peak is expected, how high, whether it is
behind, and from where on further optimization is expected to lose. See `posterior` for how points are weighed and
`prior` for what other reward models' curves add.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlproject.curve import CurvePoint
from mlproject.laws.agreement import initial_agreement, log_likelihood
from mlproject.laws.fits import MIN_POINTS
from mlproject.laws.intervals import Interval
from mlproject.laws.posterior import posterior
from mlproject.laws.prior import Prior, points_of_law

MAX_POINTS = 64
"""Points that a forecast rests on."""

_NAN = float("nan")


@dataclass(frozen=True)
class Prediction:
    """What is known about the peak after some points. Never infinite; nan where nothing can be said yet.

    Attributes:
        peak_kl: median, nats.
        peak_kl_interval: 95 %.
        peak_gold: median, standard deviations.
        peak_gold_interval: 95 %.
        p_past_peak: chance that peak KL is less than the KL of the last point.
        loses_beyond_kl: KL at which expected gold is highest, nats; a policy that is there should stop.
        gold_responses: gold-scored responses so far.
        points: curve points so far.
    """

    peak_kl: float
    peak_kl_interval: Interval
    peak_gold: float
    peak_gold_interval: Interval
    p_past_peak: float
    loses_beyond_kl: float
    gold_responses: int
    points: int


class Forecast:
    """Follows one policy run.

    Args:
        method: "best-of-n", or any that trains a policy.
        prior: from other reward models' curves; without it next to nothing is assumed, and nothing said before the
            third point.
        samples_per_prompt: responses per prompt behind a point's gold_P, for the count of gold-scored responses.
    """

    def __init__(self, method: str, prior: Prior | None = None, samples_per_prompt: int = 1) -> None:
        self._method, self._prior, self._samples_per_prompt = method, prior, samples_per_prompt
        self._points: list[CurvePoint] = []
        self._gold_responses = 0

    def update(self, point: CurvePoint) -> Prediction:
        """Take the next point in and predict.

        Args:
            point: gold and proxy on 2 or more prompts, the same at every point. Its gold may be that of a few prompts.

        Raises:
            ValueError: for a single prompt, or other prompts than before.
        """
        prompts = len(point.gold_P)
        if prompts < 2 or (self._points and prompts != len(self._points[0].gold_P)):
            raise ValueError(f"a forecast needs gold on the same 2+ prompts at every point, got {prompts}")
        self._points.append(point)
        self._gold_responses += prompts * self._samples_per_prompt
        points = self._considered()
        d_S, gold_SP = points_of_law(self._method, points)
        if self._prior is None and len(np.unique(d_S[d_S > 0])) < MIN_POINTS:
            return self._prediction(_NAN, (_NAN, _NAN), _NAN, (_NAN, _NAN), _NAN, _NAN)
        prior = (self._prior or Prior.weak()).conditioned_on(initial_agreement(self._method, points))
        log_prior_H, gold_mean_H, gold_sd = prior.on_grid()
        log_prior_H = log_prior_H + log_likelihood(self._method, points, log_prior_H)
        found = posterior(d_S, gold_SP, log_prior_H, gold_mean_H, gold_sd)
        kl, gold = found.peak_kl([0.025, 0.5, 0.975]).tolist(), found.peak_gold([0.025, 0.5, 0.975]).tolist()
        return self._prediction(
            kl[1], (kl[0], kl[2]), gold[1], (gold[0], gold[2]), found.probability_past(point.sqrt_kl), found.best_kl()
        )

    def _considered(self) -> list[CurvePoint]:
        """All points, or of very many an even choice with first and last: neighbours say the same."""
        even = np.linspace(0, len(self._points) - 1, min(len(self._points), MAX_POINTS)).round().astype(int)
        return [self._points[i] for i in even]

    def _prediction(
        self, kl: float, kl_interval: Interval, gold: float, gold_interval: Interval, p_past: float, beyond: float
    ) -> Prediction:
        return Prediction(kl, kl_interval, gold, gold_interval, p_past, beyond, self._gold_responses, len(self._points))
