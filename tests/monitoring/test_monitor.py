"""The monitor on streams of curve points whose peak is known."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mlproject.curve import Curve, CurvePoint
from mlproject.errors import UserError
from mlproject.laws import Forecast
from mlproject.monitoring import SIGNALS, SignalRule
from mlproject.monitoring.monitor import PEAK_BEHIND, AlarmRule, OveroptimizationMonitor
from mlproject.report.fit import FitRequest

PROMPTS = 128
KL = np.linspace(0.0, 60.0, 31)


def planted(alpha: float = 1.0, beta: float = 0.45, noise: float = 0.3, seed: int = 0) -> list[CurvePoint]:
    """Points of R(d) = d (alpha - beta log d), whose peak stands at d = exp(alpha / beta - 1)."""
    rng = np.random.default_rng(seed)
    points = []
    for step, kl in enumerate(KL):
        d = np.sqrt(kl)
        gold = d * (alpha - beta * np.log(d)) if d > 0 else 0.0
        gold_P = gold + noise * rng.standard_normal(PROMPTS)
        points.append(CurvePoint(step, float(kl), np.full(PROMPTS, d), gold_P, statistics={"length": 10.0 + step}))
    return points


@pytest.mark.parametrize("seed", range(8))
def test_the_alarm_comes_where_gold_is_within_a_tenth_of_the_planted_peak(seed):
    monitor = OveroptimizationMonitor()
    stopped = next(point for point in planted(seed=seed) if monitor.update(point).should_stop)
    peak_gold = 0.45 * np.exp(1.0 / 0.45 - 1)  # beta times peak d; 1.5, and 0.6 at the last point
    assert stopped.sqrt_kl * (1.0 - 0.45 * np.log(stopped.sqrt_kl)) > 0.9 * peak_gold
    assert [alarm.name for alarm in monitor.readings[-1].alarms] == [PEAK_BEHIND]
    assert not any(reading.alarms for reading in monitor.readings[:-1])


def test_a_curve_that_only_rises_raises_no_alarm():
    monitor = OveroptimizationMonitor()
    points = planted(alpha=1.0, beta=0.05)
    assert not any(monitor.update(point).alarms for point in points)


def test_the_forecast_is_that_of_the_same_points():
    monitor, forecast = OveroptimizationMonitor("rl"), Forecast("rl")
    for point in planted()[:8]:
        assert repr(monitor.update(point).prediction) == repr(forecast.update(point))  # repr: nan is itself


def test_the_kl_budget_is_passed_where_kl_passes_it():
    budget = OveroptimizationMonitor(kl_budget=7.0)
    readings = [budget.update(point) for point in planted()[:6]]  # KL 0, 2, ..., 10
    raised = [[alarm.name for alarm in reading.alarms if alarm.name == "kl-budget"] for reading in readings]
    assert raised == [[], [], [], [], ["kl-budget"], ["kl-budget"]]
    assert readings[4].alarms[0].reason == "KL 8 nats is beyond the budget of 7" and readings[4].should_stop


def test_a_rule_sees_all_points_so_far_and_stops_only_if_it_is_meant_to():
    steps_so_far = []

    def longer(points):
        steps_so_far.append([point.step for point in points])
        grown = points[-1].statistics["length"] / points[0].statistics["length"]
        return f"responses are {grown:.1f} times as long" if grown > 1.25 else ""

    monitor = OveroptimizationMonitor(rules=[AlarmRule("length", longer)])
    readings = [monitor.update(point) for point in planted()[:4]]
    assert steps_so_far == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert [len(reading.alarms) for reading in readings] == [0, 0, 0, 1]
    assert readings[3].alarms[0].reason == "responses are 1.3 times as long" and not readings[3].should_stop
    stopping = OveroptimizationMonitor(rules=[AlarmRule("length", longer, stops=True)])
    assert [stopping.update(point).should_stop for point in planted()[:4]] == [False, False, False, True]
    assert [monitor.metrics(reading)["alarms/length"] for reading in readings] == [0.0, 0.0, 0.0, 1.0]


def test_an_alarm_on_a_signal_serves_as_a_rule():
    alarm = SignalRule(SIGNALS["length"], threshold=0.25)
    monitor = OveroptimizationMonitor(rules=[AlarmRule("length", alarm)])
    points = planted()[:4]  # 10, 11, 12, 13 words
    reasons = [[raised.reason for raised in monitor.update(point).alarms] for point in points]
    assert reasons == [[], [], [], [alarm(points)]] and alarm(points)


def test_without_gold_kl_and_signs_are_still_followed_and_nothing_is_forecast():
    monitor = OveroptimizationMonitor(kl_budget=7.0)
    for point in planted():
        reading = monitor.update(CurvePoint(point.step, point.kl, point.proxy_P, np.full(PROMPTS, np.nan)))
    assert np.isnan(reading.prediction.peak_kl) and [alarm.name for alarm in reading.alarms] == ["kl-budget"]
    assert "gold" not in reading.line()


def test_what_plays_gold_is_named_in_what_the_monitor_says():
    monitor = OveroptimizationMonitor(truth="held-out RM")
    reading = next(r for r in map(monitor.update, planted()) if r.alarms)
    assert "held-out RM" in reading.alarms[0].reason and "held-out RM +" in reading.line(monitor.truth)


def test_a_forecast_that_its_points_reject_is_withheld_in_line_and_alarm_while_the_alarm_is_raised():
    rng, monitor = np.random.default_rng(0), OveroptimizationMonitor()
    for step, d in enumerate(np.linspace(0, 5, 16)):  # two humps, beyond the misfit
        gold = 0.6 * np.sin(1.2 * d) + 0.2 * d * (1 - 0.1 * d)
        gold_P = gold + 0.3 * rng.standard_normal(PROMPTS)
        reading = monitor.update(CurvePoint(step, d**2, np.full(PROMPTS, d), gold_P))
    assert reading.prediction.p_fit < 0.05 < 0.99 < reading.prediction.p_past_peak
    assert "forecast withheld: these points lie farther from all its laws" in reading.line()
    assert "peak expected" not in reading.line()
    [alarm] = [each for each in reading.alarms if each.name == PEAK_BEHIND]
    assert alarm.stops and "where gold peaked is not said" in alarm.reason and "nats" not in alarm.reason


def test_n_stands_beside_nats_for_best_of_n():
    monitor = OveroptimizationMonitor("best-of-n")
    for n in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        kl = float(np.log(n) - (n - 1) / n)
        d, noise_P = np.sqrt(kl), 0.05 * np.random.default_rng(n).standard_normal(PROMPTS)
        reading = monitor.update(CurvePoint(n, kl, np.full(PROMPTS, d), d * (1 - 0.3 * d) + noise_P))
    assert "step 256: KL 4.55 nats (n = 256)" in reading.line()
    assert re.search(r"peak expected at 2\.\d+ nats \[[\d.]+, [\d.]+\] \(n = 4\d \[\d+, \d+\]\)", reading.line())


def test_the_saved_table_reads_back_as_the_same_curve(tmp_path):
    monitor = OveroptimizationMonitor()
    points = planted()
    for point in points:
        monitor.update(point)
    monitor.save_csv(tmp_path / "points.csv")
    read = FitRequest(str(tmp_path / "points.csv"), "", "rl", gold_start=0.0).load()
    curve = Curve.from_points(points)
    back = Curve.from_points(read.points)
    assert np.array_equal(back.kl_S, curve.kl_S) and np.array_equal(back.steps_S, curve.steps_S)
    np.testing.assert_allclose(back.gold_S, curve.gold_S, atol=1e-9)
    np.testing.assert_allclose([p.gold_se for p in read.points], [p.gold_se for p in points], atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"kl_budget": 0.0}, "kl_budget=0: must be above 0"), ({"p_past_peak": 1.5}, "p_past_peak=1.5: ")],
)
def test_impossible_thresholds_are_refused_in_one_line(options, message):
    with pytest.raises(UserError, match=message):
        OveroptimizationMonitor(**options)


def test_the_monitor_alone_needs_no_torch_and_no_tracking():
    code = (
        "import sys, mlproject.monitoring.monitor; "
        "print([m for m in ('torch', 'transformers', 'mlflow', 'optuna', 'trl') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


ALL = slice(None)


def alarms_with(at: int, **changes) -> list[dict[str, tuple[str, bool]]]:
    """Alarms by name at each of six points, one of which is changed: reason, and whether it stops."""
    monitor = OveroptimizationMonitor(kl_budget=100.0)
    points = planted()[:6]
    for name, (where, value) in changes.items():
        if name == "kl":
            points[at] = replace(points[at], kl=value)
        else:
            values_P = getattr(points[at], name).copy()
            values_P[where] = value
            points[at] = replace(points[at], **{name: values_P})
    readings = [monitor.update(point) for point in points]
    assert [reading.prediction.points for reading in readings[-1:]] == [6 - ("proxy_P" not in changes)]
    return [{alarm.name: (alarm.reason, alarm.stops) for alarm in reading.alarms} for reading in readings]


@pytest.mark.parametrize(
    ("name", "where", "value", "reason", "stops"),
    [
        ("kl", None, np.nan, "KL is nan", True),
        ("kl", None, np.inf, "KL is inf", True),
        ("proxy_P", ALL, np.nan, "proxy is not finite on 128 of 128 prompts", False),
        ("proxy_P", 3, np.inf, "proxy is not finite on 1 of 128 prompts", False),
        ("gold_P", 3, np.nan, "gold is not finite on 1 of 128 prompts", False),
        ("gold_P", ALL, np.nan, "gold is not finite on 128 of 128 prompts", False),
    ],
)
def test_a_number_that_is_none_is_an_alarm_and_later_points_are_forecast_without_it(name, where, value, reason, stops):
    raised = alarms_with(4, **{name: (where, value)})
    assert raised[4]["not-a-number"] == (reason, stops)
    assert ("kl-budget" in raised[4]) == (name == "kl"), "nobody knows whether such a KL is within the budget"
    assert not any(raised[i] for i in (0, 1, 2, 3, 5))


def test_scores_that_nothing_gives_from_the_start_are_no_alarm():
    monitor = OveroptimizationMonitor()
    for point in planted()[:4]:
        reading = monitor.update(replace(point, gold_P=np.full(PROMPTS, np.nan), proxy_P=np.full(PROMPTS, np.nan)))
        assert not reading.alarms and monitor.metrics(reading)["alarms/not-a-number"] == 0.0


def test_one_unknown_statistic_does_not_silence_a_signal_for_good():
    points = [replace(point, statistics={"test_rm.a": -float(point.step)}) for point in planted()[:5]]
    points[2] = replace(points[2], statistics={"test_rm.a": np.nan})
    departure_S = SIGNALS["test RM"].departure(points)
    assert np.isnan(departure_S[2]) and departure_S[[0, 1, 3, 4]].tolist() == [0, 1, 3, 4]
