"""The monitor: follows any stream of curve points, forecasts the peak after each, and raises alarms.

Framework-neutral and numpy only. Feed it points from wherever they come:

    monitor = OveroptimizationMonitor(kl_budget=30.0)
    for point in points:
        reading = monitor.update(point)
        if reading.should_stop:
            break

`mlproject.monitoring.policy_evaluator` measures such points on a live policy, and `mlproject.integrations` does both
inside another trainer.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlproject.curve import Curve, CurvePoint
from mlproject.errors import UserError
from mlproject.laws import Forecast, Prediction, Prior
from mlproject.laws.forecast import is_a_number
from mlproject.monitoring import DEFAULT_ALARMS, SignalRule
from mlproject.monitoring.alarms import NOT_A_NUMBER, not_a_number
from mlproject.monitoring.metrics import forecast_metrics, point_metrics
from mlproject.names import MetricPrefix
from mlproject.optimization import KL_BUDGET, find_method
from mlproject.optimization.stopping import (
    KLBudgetStop,
    StopDecision,
    beyond_forecast,
    forecast_evidence,
    is_beyond_forecast,
)
from mlproject.recommendation.words import kl_estimate, place_of_kl

PEAK_BEHIND = "peak-behind"

METER = "meter"
"""Prefix of the metrics in which the evaluator reports on itself (KL estimated from sampled tokens alone)."""


@dataclass(frozen=True)
class AlarmRule:
    """When to raise an alarm: a pure function of the points so far.

    Attributes:
        name: of the alarm and, as `alarms/<name>`, of its metric.
        reason: (points so far, the last one included) -> one line saying why; nothing for no alarm. A
            `mlproject.monitoring.SignalRule` is such a function.
        stops: whether the alarm asks for the end of the training; otherwise it only informs.

    Examples:
        >>> from mlproject import AlarmRule, OveroptimizationMonitor, points_from_summaries
        >>> def too_good(points):
        ...     return "proxy is above 1" if points[-1].proxy > 1 else None
        >>> monitor = OveroptimizationMonitor(rules=[AlarmRule("too-good", too_good, stops=True)])
        >>> points = points_from_summaries([0, 1], [0.0, 1.0], [0.0, 0.1], [0.0, 0.1], proxy_S=[0.0, 2.0])
        >>> [monitor.update(point).should_stop for point in points]
        [False, True]
    """

    name: str
    reason: Callable[[Sequence[CurvePoint]], str | None]
    stops: bool = False


def over_kl_budget(budget: float) -> AlarmRule:
    """The rule that KL from the initial policy shall not pass a budget, nats.

    Raises:
        UserError: for a budget that is not above 0.
    """
    stop = KLBudgetStop(budget)

    def reason(points: Sequence[CurvePoint]) -> str | None:
        decision = stop(points[-1])
        return None if decision is None else decision.reason

    return AlarmRule(KL_BUDGET, reason, stops=True)


def on_signal(rule: SignalRule) -> AlarmRule:
    """An alarm on a signal as a rule of the monitor; it informs and does not ask for the end of the training."""
    return AlarmRule(rule.signal.name.lower().replace(" ", "-"), rule)


DEFAULT_RULES: tuple[AlarmRule, ...] = tuple(on_signal(rule) for rule in DEFAULT_ALARMS)
"""Rules on signals that need no gold and are on by default; docs/early_warning.md says how they were chosen."""


@dataclass(frozen=True)
class Alarm:
    """An alarm that was raised.

    Attributes:
        name: of its rule.
        reason: one line.
        stops: whether it asks for the end of the training.
    """

    name: str
    reason: str
    stops: bool


@dataclass(frozen=True)
class MonitorReading:
    """What the monitor says after a point.

    Attributes:
        point: the point.
        prediction: the forecast; nan where nothing can be predicted yet, or nothing plays gold.
        alarms: those raised at this point.
        method: what optimizes the policy.

    Examples:
        >>> from mlproject import OveroptimizationMonitor, points_from_summaries
        >>> [point] = points_from_summaries([0], kl_S=[3.0], gold_S=[0.25], gold_se_S=[0.05], proxy_S=[0.5])
        >>> reading = OveroptimizationMonitor(kl_budget=2.0).update(point)
        >>> reading.line()
        'step 0: KL 3 nats, proxy +0.50, gold +0.25 (se 0.05)'
        >>> reading.should_stop, [alarm.reason for alarm in reading.alarms]
        (True, ['KL 3 nats is beyond the budget of 2'])
    """

    point: CurvePoint
    prediction: Prediction
    alarms: tuple[Alarm, ...]
    method: str = "rl"

    @property
    def decision(self) -> StopDecision | None:
        """The first alarm that asks for the end of the training, with the forecast as its evidence; None: continue."""
        for alarm in self.alarms:
            if alarm.stops:
                evidence = {"kl": self.point.kl, **forecast_evidence(self.prediction)}
                return StopDecision(alarm.name, alarm.reason, self.point.step, evidence)
        return None

    @property
    def should_stop(self) -> bool:
        """Whether one of the alarms asks for the end of the training."""
        return self.decision is not None

    def line(self, truth: str = "gold") -> str:
        """For people: where the policy is and what is expected."""
        point, prediction = self.point, self.prediction
        place = place_of_kl(self.method, point.kl) if np.isfinite(point.kl) else ""
        text = f"step {point.step}: KL {point.kl:.3g} nats{place and f' ({place})'}, proxy {point.proxy:+.2f}"
        if np.isfinite(point.gold):
            text += f", {truth} {point.gold:+.2f} (se {point.gold_se:.2f})"
        if prediction.withheld:
            text += f"; forecast withheld: {prediction.withheld}"
        elif prediction.is_known:
            peak = kl_estimate(self.method, prediction.peak_kl, prediction.peak_kl_interval)
            text += f"; peak expected at {peak}"
            text += f", P(past peak) = {prediction.p_past_peak:.2f} (from {prediction.prior})"
        return text


class OveroptimizationMonitor:
    """Follows one policy as it is optimized against a proxy.

    A monitor is a stop rule (`mlproject.optimization.stopping`): called with a point, it takes the point in and returns
    the decision of those alarms that stop.

    Args:
        method: "best-of-n", or any that trains a policy ("rl").
        prior: from other reward models' curves (`Prior.from_curves`); None: a weak prior.
        p_past_peak: the alarm `peak-behind` is raised once P(past peak) reaches this probability, or KL reaches the
            value beyond which further optimization is expected to lose.
        kl_budget: nats; the alarm `kl-budget` is raised beyond it. None: no budget.
        rules: further rules; `DEFAULT_RULES` by default.
        truth: what plays gold, for messages: a held-out reward model, a test set, people.
        samples_per_prompt: responses per prompt behind a point's gold.
        diagnostics: prefix of the metrics in a point's `diagnostics`.

    Attributes:
        readings: one for each point so far.

    Raises:
        UserError: for a probability outside (0, 1], or a budget that is not above 0.

    Examples:
        >>> from mlproject import OveroptimizationMonitor, points_from_summaries
        >>> kl = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0]
        >>> gold = [0.0, 0.38, 0.5, 0.59, 0.65, 0.62, 0.45, 0.28]
        >>> monitor = OveroptimizationMonitor()
        >>> for point in points_from_summaries(range(8), kl, gold, gold_se_S=[0.03] * 8):
        ...     if monitor.update(point).should_stop:
        ...         break
        >>> monitor.readings[-1].alarms[0].name, 4 <= point.kl <= 16
        ('peak-behind', True)
    """

    def __init__(
        self,
        method: str = "rl",
        prior: Prior | None = None,
        *,
        p_past_peak: float = 0.9,
        kl_budget: float | None = None,
        rules: Sequence[AlarmRule] | None = None,
        truth: str = "gold",
        samples_per_prompt: int = 1,
        diagnostics: str = METER,
    ) -> None:
        if not 0 < p_past_peak <= 1:
            raise UserError(f"p_past_peak={p_past_peak:g}: must be above 0 and at most 1. Give a probability.")
        self.method, self.truth = method, truth
        self.readings: list[MonitorReading] = []
        self._p_past_peak, self._diagnostics = p_past_peak, diagnostics
        self._forecast = Forecast(find_method(method), prior, samples_per_prompt)
        budget = () if kl_budget is None else (over_kl_budget(kl_budget),)
        self._rules = (*budget, *(DEFAULT_RULES if rules is None else rules))

    @property
    def points(self) -> list[CurvePoint]:
        """The points so far."""
        return [reading.point for reading in self.readings]

    def update(self, point: CurvePoint) -> MonitorReading:
        """Take the next point in.

        Args:
            point: scores of the same 2 or more prompts at every point. Gold of nan from the first point on: nothing
                plays gold, and only rules that need none can raise an alarm. Any other nan or infinity raises the alarm
                `not-a-number`, which stops where it is the KL; the forecast leaves such a point out.

        Raises:
            ValueError: for a single prompt, or other prompts than before.
        """
        points = [*self.points, point]
        is_known = is_a_number(point.kl) and is_a_number(point.gold_P)
        prediction = self._forecast.update(point) if is_known else _no_prediction(len(points))
        reasons: list[tuple[str, str | None, bool]] = [
            (PEAK_BEHIND, self._why_behind(point, prediction), True),
            (NOT_A_NUMBER, not_a_number(points), not np.isfinite(point.kl)),
        ]
        reasons += [(rule.name, rule.reason(points), rule.stops) for rule in self._rules]
        reading = MonitorReading(
            point, prediction, tuple(Alarm(name, why, stops) for name, why, stops in reasons if why), self.method
        )
        self.readings.append(reading)
        return reading

    def __call__(self, point: CurvePoint) -> StopDecision | None:
        """Take the next point in, and say whether the training should end there (see `StopRule`)."""
        return self.update(point).decision

    def metrics(self, reading: MonitorReading) -> dict[str, float]:
        """A reading as metrics: `curve/*`, `signs/*`, `forecast/*`, `alarms/*` (0 or 1), and diagnostics.

        What is not known is nan.
        """
        raised = {alarm.name for alarm in reading.alarms}
        names = (PEAK_BEHIND, NOT_A_NUMBER, *(rule.name for rule in self._rules))
        return {
            **point_metrics(reading.point, self._diagnostics),
            **forecast_metrics(reading.prediction),
            **{f"{MetricPrefix.ALARMS}{name}": float(name in raised) for name in names},
        }

    def curve(self) -> Curve:
        """The points so far, with every prompt's own score.

        Raises:
            ValueError: before the first point.
        """
        return Curve.from_points(self.points)

    def save_csv(self, path: Path | str) -> None:
        """Write the points as a table that `python -m mlproject fit --curve PATH` reads."""
        with Path(path).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["step", "kl", "proxy", "gold", "gold_se"])
            table.writerows([p.step, p.kl, p.proxy, p.gold, p.gold_se] for p in self.points)

    def _why_behind(self, point: CurvePoint, prediction: Prediction) -> str:
        if prediction.p_past_peak >= self._p_past_peak:
            place = place_of_kl(self.method, prediction.peak_kl)
            at = f"{prediction.peak_kl:.3g} nats{place and f' ({place})'}"
            where = f"with the peak of {self.truth} expected at {at}"
            if prediction.withheld:
                where = f"and where {self.truth} peaked is not said, since {prediction.withheld}"
            return f"P(past peak) = {prediction.p_past_peak:.2f}, {where}"
        return beyond_forecast(point, prediction, self.truth) if is_beyond_forecast(point, prediction) else ""


def _no_prediction(points: int) -> Prediction:
    nan = float("nan")
    return Prediction(nan, (nan, nan), nan, (nan, nan), nan, nan, 0, points)
