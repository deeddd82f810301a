"""What the console says of a run that something may stop, and of a promotion that moves, rehearses or refuses."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mlproject.cli.console import outcome, stop_lines
from mlproject.curve import Curve
from mlproject.laws import forecast_of, points_from_summaries
from mlproject.names import Tag
from mlproject.registry.promote import Decision

KL, GOLD = [0.0, 0.5, 1.0, 2.0, 3.0], [0.0, 0.4, 0.6, 0.8, 0.9]
AT_40 = "the run at 3 nats (update 40)"
POINTS = points_from_summaries(range(0, 50, 10), KL, GOLD, [0.02] * 5)


@pytest.mark.parametrize(
    ("stop", "tags", "expected"),
    [
        ("budget", {}, []),
        ("forecast", {Tag.FORECAST_STOPPED_AT: "40"}, [f"stop=forecast: ended {AT_40}, before its budget"]),
        ("kl-budget", {Tag.KL_BUDGET_STOPPED_AT: "40"}, [f"stop=kl-budget: ended {AT_40}, before its budget"]),
        ("kl-budget", {}, ["stop=kl-budget: did not end the run, which went on to 3 nats (update 40), its budget"]),
    ],
)  # fmt: skip
def test_whether_and_where_a_run_was_stopped_is_said(stop, tags, expected) -> None:
    assert stop_lines("ppo", {"stop": stop}, tags, Curve.from_points(POINTS), None) == expected


def test_a_forecast_that_did_not_stop_a_run_says_where_it_expects_the_peak() -> None:
    forecast = forecast_of("ppo", POINTS)
    [line] = stop_lines("ppo", {"stop": "forecast"}, {}, Curve.from_points(POINTS), forecast)
    assert line == (
        "stop=forecast: did not end the run, which went on to 3 nats (update 40), its budget: the forecast expects "
        f"gold to be highest at {forecast.loses_beyond_kl:.3g} nats"
    )
    assert np.isfinite(forecast.loses_beyond_kl)


def decision(**changes) -> Decision:
    values = {
        "run_id": "r",
        "candidate": SimpleNamespace(name="3k seed 0", is_model=True),
        "version": "2",
        "results": [],
        "passed": True,
        "is_champion": True,
        "reason": "",
        "champion": "2",
        "previous": "1",
    }
    return Decision(**values | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "passed all gates and is champion, in place of version 1"),
        ({"previous": ""}, "passed all gates and is champion, reward-model@champion"),
        ({"passed": False, "is_champion": False, "champion": "1"}, "refused; version 1 stays champion"),
        ({"passed": False, "is_champion": False, "champion": ""}, "refused; there is no champion"),
        (
            {"dry_run": True, "is_champion": False, "champion": "1"},
            "dry run, nothing was changed: passed all gates, and would become champion; version 1 stays champion",
        ),
        (
            {"dry_run": True, "passed": False, "is_champion": False, "champion": ""},
            "dry run, nothing was changed: refused; there is no champion",
        ),
    ],
)
def test_a_rehearsal_is_told_from_a_move(changes, expected) -> None:
    assert outcome("reward-model", decision(**changes)) == expected
