"""When a stream of curve points ends before its budget: one protocol for every reason, and one driver.

    decision = follow(method.optimize(task), [ForecastStop(Forecast("ppo").update), KLBudgetStop(10.0)])
    if decision is not None:
        print(decision.reason)

A rule sees the points in order, each once, and depends on nothing else, so a run that is resumed stops where an
undisturbed one would: give its rules the points that it had measured before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from mlproject.curve import CurvePoint
from mlproject.errors import UserError
from mlproject.laws import Prediction
from mlproject.optimization import FORECAST, KL_BUDGET

PRUNER = "pruner"
"""Name of a search's rule, beside `FORECAST` and `KL_BUDGET`; a rule of the monitor is called as its alarm is."""

Callback = Callable[[CurvePoint], None]


@dataclass(frozen=True)
class StopDecision:
    """Why a stream ends at a point.

    Attributes:
        rule: name of the rule that decided.
        reason: one line.
        step: of the point.
        evidence: the numbers that the decision rests on, by name.
    """

    rule: str
    reason: str
    step: int
    evidence: Mapping[str, float] = field(default_factory=dict)


class StopRule(Protocol):
    """Decides after each point whether the stream ends there.

    Called with every point of one stream in order, it returns a decision, or None where the stream should continue. A
    rule that is handed to a worker process must be picklable.
    """

    def __call__(self, point: CurvePoint) -> StopDecision | None: ...


Decide = Callable[[], StopDecision | None]


def decide_alone(decide: Decide) -> StopDecision | None:
    """The decision of a process that has a stream to itself."""
    return decide()


@dataclass(frozen=True)
class ForecastStop:
    """Ends a stream at the KL where expected gold is highest: beyond it, further optimization is expected to lose.

    Attributes:
        predict: the forecast after a point, such as `Forecast(...).update`.
    """

    predict: Callable[[CurvePoint], Prediction]

    def __call__(self, point: CurvePoint) -> StopDecision | None:
        prediction = self.predict(point)
        if not is_beyond_forecast(point, prediction):
            return None
        return StopDecision(FORECAST, beyond_forecast(point, prediction), point.step, forecast_evidence(prediction))


@dataclass(frozen=True)
class KLBudgetStop:
    """Ends a stream at the first point whose KL from the initial policy is above a budget, or is not a number.

    Attributes:
        budget: nats, above 0.

    Raises:
        UserError: for any other budget.
    """

    budget: float

    def __post_init__(self) -> None:
        if not self.budget > 0:
            raise UserError(f"kl_budget={self.budget:g}: must be above 0. Give a number of nats.")

    def __call__(self, point: CurvePoint) -> StopDecision | None:
        if point.kl <= self.budget:
            return None
        beyond = "not known to be within" if math.isnan(point.kl) else "beyond"
        reason = f"KL {point.kl:.3g} nats is {beyond} the budget of {self.budget:.3g}"
        return StopDecision(KL_BUDGET, reason, point.step, {"kl": point.kl, "kl_budget": self.budget})


def is_beyond_forecast(point: CurvePoint, prediction: Prediction) -> bool:
    """Whether a policy has reached the KL where expected gold is highest; False where nothing can be predicted yet."""
    return point.kl >= prediction.loses_beyond_kl


def beyond_forecast(point: CurvePoint, prediction: Prediction, truth: str = "gold") -> str:
    """One line saying that a policy has reached the KL where what plays gold is expected to be highest."""
    return (
        f"KL {point.kl:.3g} nats has reached {prediction.loses_beyond_kl:.3g}, where {truth} is expected to be highest"
    )


def forecast_evidence(prediction: Prediction) -> dict[str, float]:
    """The numbers of a forecast that a decision rests on."""
    return {
        "peak_kl": prediction.peak_kl,
        "peak_gold": prediction.peak_gold,
        "p_past_peak": prediction.p_past_peak,
        "loses_beyond_kl": prediction.loses_beyond_kl,
    }


def decide(point: CurvePoint, rules: Sequence[StopRule], callbacks: Sequence[Callback] = ()) -> StopDecision | None:
    """Take one point in: call the callbacks, then ask the rules.

    Returns:
        the first decision to stop, in the order of the rules (those behind it are not asked); None: continue.
    """
    for callback in callbacks:
        callback(point)
    for rule in rules:
        if (decision := rule(point)) is not None:
            return decision
    return None


def follow(
    points: Iterable[CurvePoint],
    rules: Sequence[StopRule] = (),
    callbacks: Sequence[Callback] = (),
    agree: Callable[[Decide], StopDecision | None] = decide_alone,
) -> StopDecision | None:
    """Draw points from a stream until a rule ends it or it ends by itself.

    Args:
        points: the stream. No point is drawn after the one at which a rule stops.
        rules: asked after each point, until one decides to stop.
        callbacks: called with every point, the last included, before the rules are asked.
        agree: where several processes draw the same stream, makes the first one decide for all of them.

    Returns:
        why the stream was ended; None where it came to its own end.
    """
    for point in points:
        decision = agree(partial(decide, point, rules, callbacks))
        if decision is not None:
            return decision
    return None
