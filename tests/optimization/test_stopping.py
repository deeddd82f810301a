"""Stop rules and the driver on planted streams: where each ends a stream, and what it says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mlproject.curve import CurvePoint
from mlproject.errors import UserError
from mlproject.laws import Forecast, Prediction
from mlproject.optimization import FORECAST, KL_BUDGET
from mlproject.optimization.stopping import ForecastStop, KLBudgetStop, StopDecision, decide, follow

ALPHA, BETA = 1.0, 0.45
PEAK_KL = float(np.exp(2 * (ALPHA / BETA - 1)))  # of R(d) = d (alpha - beta log d): 11.5 nats


def planted(kl_S: np.ndarray, noise: float = 0.3, prompts: int = 128) -> list[CurvePoint]:
    rng = np.random.default_rng(0)
    d_S = np.sqrt(kl_S)
    gold_S = d_S * (ALPHA - BETA * np.log(np.maximum(d_S, 1e-9)))
    return [
        CurvePoint(
            step, float(kl_S[step]), np.full(prompts, d_S[step]), gold_S[step] + noise * rng.normal(size=prompts)
        )
        for step in range(len(kl_S))
    ]


def prediction(loses_beyond_kl: float) -> Prediction:
    return Prediction(3.0, (2.0, 4.0), 1.5, (1.0, 2.0), 0.5, loses_beyond_kl, 10, 4)


POINTS = planted(np.linspace(0, 40, 41))


def test_a_stream_that_no_rule_ends_is_drawn_to_its_end() -> None:
    drawn: list[CurvePoint] = []
    assert follow(POINTS, [KLBudgetStop(40.0)], [drawn.append]) is None  # 40 nats are not above the budget
    assert drawn == POINTS


def test_no_point_is_drawn_after_the_one_at_which_a_rule_stops() -> None:
    drawn: list[int] = []

    def stream() -> Iterator[CurvePoint]:
        for point in POINTS:
            drawn.append(point.step)
            yield point

    decision = follow(stream(), [KLBudgetStop(7.0)])
    assert decision is not None and decision.step == 8 and drawn == list(range(9))


def test_a_kl_budget_stops_at_the_first_point_above_it_and_says_by_how_much() -> None:
    stop = KLBudgetStop(7.5)
    assert stop(POINTS[7]) is None
    assert stop(POINTS[8]) == StopDecision(
        KL_BUDGET, "KL 8 nats is beyond the budget of 7.5", 8, {"kl": 8.0, "kl_budget": 7.5}
    )


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan")])
def test_a_kl_budget_that_is_not_above_0_is_refused(budget: float) -> None:
    with pytest.raises(UserError, match="must be above 0"):
        KLBudgetStop(budget)


def test_a_forecast_stops_where_kl_has_reached_what_it_predicts_and_not_while_it_predicts_nothing() -> None:
    for predicted, stops in ((4.1, False), (4.0, True), (3.9, True), (float("nan"), False)):
        decision = ForecastStop(lambda point, kl=predicted: prediction(kl))(POINTS[4])
        assert (decision is not None) == stops
    decision = ForecastStop(lambda point: prediction(3.5))(POINTS[4])
    assert decision is not None and decision.rule == FORECAST and decision.step == 4
    assert decision.reason == "KL 4 nats has reached 3.5, where gold is expected to be highest"
    assert decision.evidence == {"peak_kl": 3.0, "peak_gold": 1.5, "p_past_peak": 0.5, "loses_beyond_kl": 3.5}


def test_a_forecast_stops_a_planted_curve_near_its_peak_and_lets_one_that_rises_run_on() -> None:
    decision = follow(POINTS, [ForecastStop(Forecast("ppo").update)])
    assert decision is not None and 0.5 * PEAK_KL < POINTS[decision.step].kl < 2 * PEAK_KL
    rising = [CurvePoint(p.step, p.kl, p.proxy_P, p.sqrt_kl + 0.3 * (p.gold_P - p.gold)) for p in POINTS]
    assert follow(rising, [ForecastStop(Forecast("ppo").update)]) is None


def test_a_stop_depends_on_the_points_alone_so_a_resumed_stream_ends_where_the_whole_one_does() -> None:
    whole = follow(POINTS, [ForecastStop(Forecast("ppo").update)])
    rule = ForecastStop(Forecast("ppo").update)
    assert follow(POINTS[:6], [rule]) is None  # what was measured before
    assert follow(POINTS[6:], [rule]) == whole


def test_the_first_rule_that_stops_decides_and_those_behind_it_are_not_asked() -> None:
    asked: list[int] = []

    def never(point: CurvePoint) -> None:
        asked.append(point.step)

    decision = follow(POINTS, [KLBudgetStop(2.5), never, KLBudgetStop(1.5)])
    assert decision is not None and decision.evidence["kl_budget"] == 1.5 and asked == [0, 1, 2]
    both = decide(POINTS[9], [KLBudgetStop(8.0), KLBudgetStop(1.5)])
    assert both is not None and both.evidence["kl_budget"] == 8.0


def test_callbacks_see_every_point_before_the_rules_are_asked() -> None:
    events: list[str] = []

    def rule(point: CurvePoint) -> StopDecision | None:
        events.append(f"rule {point.step}")
        return StopDecision("enough", "it is enough", point.step) if point.step == 1 else None

    follow(POINTS, [rule], [lambda point: events.append(f"callback {point.step}")])
    assert events == ["callback 0", "rule 0", "callback 1", "rule 1"]


def test_where_processes_share_a_stream_one_decides_for_all() -> None:
    drawn: list[CurvePoint] = []
    answer = StopDecision("elsewhere", "the main process stopped", 3)
    answers = iter([None, None, answer])
    assert follow(POINTS, [KLBudgetStop(1.5)], [drawn.append], agree=lambda decision: next(answers)) == answer
    assert drawn == []  # callbacks and rules belong to the process that decides


@pytest.mark.parametrize("kl", [math.nan, math.inf])
def test_a_kl_that_is_no_number_is_within_no_budget(kl):
    decision = KLBudgetStop(5.0)(replace(POINTS[3], kl=kl))
    assert decision is not None and f"KL {kl:g} nats is" in decision.reason and "budget of 5" in decision.reason
