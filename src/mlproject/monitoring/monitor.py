"""The monitor: follows any stream of curve points, forecasts the peak after each, and raises alarms.

Framework-neutral and numpy only. Feed it points from wherever they come:

    monitor = OveroptimizationMonitor(kl_budget=30.0)
    for point in points:
        reading = monitor.update(point)
        if reading.should_stop:
            break

`mlproject.monitoring.policy_evaluator` measures such points on a live policy, and `mlproject.integrations` does both
from inside somebody else's trainer.
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
from mlproject.monitoring import DEFAULT_ALARMS, SignalRule
from mlproject.monitoring.metrics import forecast_metrics, point_metrics

PEAK_BEHIND, KL_BUDGET = "peak-behind", "kl-budget"

_DIAGNOSTICS = "meter"
"""Prefix of the metrics in which the meter speaks about itself (KL estimated from sampled tokens alone)."""


@dataclass(frozen=True)
class AlarmRule:
    """When to raise an alarm: a pure function of the points so far.

    Attributes:
        name: of the alarm and, as `alarms/<name>`, of its metric.
        reason: (points so far, the last one included) -> one line saying why; nothing where all is well. A
            `mlproject.monitoring.SignalRule` is such a function.
        stops: whether the alarm asks for the end of the training; otherwise it only informs.
    """

    name: str
    reason: Callable[[Sequence[CurvePoint]], str | None]
    stops: bool = False


def over_kl_budget(budget: float) -> AlarmRule:
    """The rule that KL from the initial policy shall not pass a budget, nats.

    Raises:
        UserError: for a budget that is not above 0.
    """
    if not budget > 0:
        raise UserError(f"kl_budget={budget:g}: allowed is a number of nats above 0")

    def reason(points: Sequence[CurvePoint]) -> str:
        kl = points[-1].kl
        return f"KL {kl:.3g} nats is beyond the budget of {budget:.3g}" if kl > budget else ""

    return AlarmRule(KL_BUDGET, reason, stops=True)


def on_signal(rule: SignalRule) -> AlarmRule:
    """An early warning as a rule of the monitor; it informs and does not ask for the end of the training."""
    return AlarmRule(rule.signal.name.lower().replace(" ", "-"), rule)


DEFAULT_RULES: tuple[AlarmRule, ...] = tuple(on_signal(rule) for rule in DEFAULT_ALARMS)
"""Rules on the points' statistics (`CurvePoint.statistics`) that are on by default; see docs/early_warning.md."""


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
        prediction: the forecast; nan where nothing can be said yet, or nothing plays gold.
        alarms: those that are raised at this point.
        should_stop: whether one of them asks for the end of the training.
    """

    point: CurvePoint
    prediction: Prediction
    alarms: tuple[Alarm, ...]

    @property
    def should_stop(self) -> bool:
        return any(alarm.stops for alarm in self.alarms)

    def line(self, truth: str = "gold") -> str:
        """For people: where the policy is and what is expected."""
        point, ahead = self.point, self.prediction
        said = f"step {point.step}: KL {point.kl:.3g} nats, proxy {point.proxy:+.2f}"
        if np.isfinite(point.gold):
            said += f", {truth} {point.gold:+.2f} (se {point.gold_se:.2f})"
        if np.isfinite(ahead.peak_kl):
            low, high = ahead.peak_kl_interval
            said += f"; peak expected at {ahead.peak_kl:.3g} nats [{low:.3g}, {high:.3g}]"
            said += f", behind with probability {ahead.p_past_peak:.2f}"
        return said


class OveroptimizationMonitor:
    """Follows one policy as it is optimized against a proxy.

    Args:
        method: "best-of-n", or any that trains a policy ("rl").
        prior: from other reward models' curves (`Prior.from_curves`); without it next to nothing is assumed.
        p_past_peak: the alarm `peak-behind` is raised once the peak is behind with at least this probability, or at the
            KL from where on further optimization is expected to lose.
        kl_budget: nats; the alarm `kl-budget` is raised beyond it. None: no budget.
        rules: further rules; `DEFAULT_RULES` by default.
        truth: what plays gold, for messages: a held-out reward model, a test set, people.
        samples_per_prompt: responses per prompt behind a point's gold.

    Attributes:
        readings: one for each point so far.

    Raises:
        UserError: for a probability or a budget that cannot be.
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
    ) -> None:
        if not 0 < p_past_peak <= 1:
            raise UserError(f"p_past_peak={p_past_peak:g}: allowed is a probability above 0 and up to 1")
        self.method, self.truth = method, truth
        self.readings: list[MonitorReading] = []
        self._certain = p_past_peak
        self._forecast = Forecast(method, prior, samples_per_prompt)
        budget = () if kl_budget is None else (over_kl_budget(kl_budget),)
        self._rules = (*budget, *(DEFAULT_RULES if rules is None else rules))

    @property
    def points(self) -> list[CurvePoint]:
        """The points so far."""
        return [reading.point for reading in self.readings]

    def update(self, point: CurvePoint) -> MonitorReading:
        """Take the next point in.

        Args:
            point: scores of the same 2 or more prompts at every point. Gold of nan: nothing plays gold, and only rules
                that need none can raise an alarm.

        Raises:
            ValueError: for a single prompt, or other prompts than before.
        """
        points = [*self.points, point]
        prediction = self._forecast.update(point) if np.isfinite(point.gold_P).all() else _nothing_said(len(points))
        found: list[tuple[str, str | None, bool]] = [(PEAK_BEHIND, self._why_behind(point, prediction), True)]
        found += [(rule.name, rule.reason(points), rule.stops) for rule in self._rules]
        reading = MonitorReading(point, prediction, tuple(Alarm(name, why, stops) for name, why, stops in found if why))
        self.readings.append(reading)
        return reading

    def metrics(self, reading: MonitorReading) -> dict[str, float]:
        """A reading by the names that dashboards rely on: `curve/*`, `signs/*`, `forecast/*`, `alarms/*` (0 or 1).

        What is not known is nan.
        """
        raised = {alarm.name for alarm in reading.alarms}
        names = (PEAK_BEHIND, *(rule.name for rule in self._rules))
        return {
            **point_metrics(reading.point, _DIAGNOSTICS),
            **forecast_metrics(reading.prediction),
            **{f"alarms/{name}": float(name in raised) for name in names},
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

    def _why_behind(self, point: CurvePoint, ahead: Prediction) -> str:
        if ahead.p_past_peak >= self._certain:
            return (
                f"the peak of {self.truth}, expected at {ahead.peak_kl:.3g} nats, is behind with probability "
                f"{ahead.p_past_peak:.2f}"
            )
        if point.kl >= ahead.loses_beyond_kl:
            return f"KL {point.kl:.3g} nats has reached {ahead.loses_beyond_kl:.3g}, where {self.truth} is highest"
        return ""


def _nothing_said(points: int) -> Prediction:
    nan = float("nan")
    return Prediction(nan, (nan, nan), nan, (nan, nan), nan, nan, 0, points)
