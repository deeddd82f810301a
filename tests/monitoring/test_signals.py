"""Signals and alarms on planted runs: what each departure is, and that none looks ahead."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from mlproject.curve import CurvePoint
from mlproject.monitoring import DEFAULT_ALARMS, SIGNALS, SignalRule, first_alarm

S = 12


def points_of(signs: Mapping[str, np.ndarray], proxy_S: np.ndarray | None = None) -> list[CurvePoint]:
    proxy_S = np.arange(S) / 4 if proxy_S is None else proxy_S
    return [
        CurvePoint(
            i, float(i), np.full(3, proxy_S[i]), np.zeros(3), statistics={n: float(v[i]) for n, v in signs.items()}
        )
        for i in range(S)
    ]


@pytest.fixture
def planted() -> list[CurvePoint]:
    rng = np.random.default_rng(0)
    names = (
        "length", "repetition", "distinct-2", "compression", "distinct-responses", "entropy", "hedges", "courtesy",
        "filler", "test_rm.1k", "rm_gap.1k", "member.1", "member.2", "rm_disagreement",
    )  # fmt: skip
    return points_of({name: 1 + rng.random(S) for name in names})


def departure(name: str, signs: Mapping[str, list[float]], proxy: list[float] | None = None) -> list[float]:
    padded = {sign: np.array(values + [values[-1]] * (S - len(values))) for sign, values in signs.items()}
    proxy_S = None if proxy is None else np.array(proxy + [proxy[-1]] * (S - len(proxy)))
    return SIGNALS[name].departure(points_of(padded, proxy_S))[: len(next(iter(signs.values())))].tolist()


def test_each_departure_is_the_one_worked_out_by_hand() -> None:
    assert departure("length", {"length": [20, 10, 30]}) == pytest.approx([0, 0.5, 0.5])
    assert departure("repetition", {"repetition": [0.2, 0.1, 0.5]}) == pytest.approx([0, -0.1, 0.3])
    assert departure("distinct-2", {"distinct-2": [0.9, 0.6]}) == pytest.approx([0, 0.3])
    assert departure("compression", {"compression": [2, 3]}) == pytest.approx([0, 0.5])
    assert departure("distinct responses", {"distinct-responses": [1, 0.25]}) == pytest.approx([0, 0.75])
    assert departure("entropy", {"entropy": [2, 1, 3]}) == pytest.approx([0, 0.5, -0.5])
    assert departure("hedges", {"hedges": [1, 1], "length": [10, 5]}) == pytest.approx([0, 10])
    assert departure("stock phrases", {"courtesy": [1, 2], "filler": [0, 1], "length": [10, 10]}) == pytest.approx(
        [0, 20]
    )
    assert departure("test RM", {"test_rm.1k": [0, 0.5, 0.2, 0.6]}) == pytest.approx([0, 0, 0.3, 0])
    assert departure("test RM", {"test_rm.1k": [0, 1, 0], "test_rm.3k": [0, 0, 2]}) == pytest.approx([0, 0, 1])
    assert departure("test RM gap", {"rm_gap.1k": [0.1, 0.4, 0.0, 0.2]}) == pytest.approx([0, 0.3, 0, 0.2])
    assert departure("ensemble disagreement", {"rm_disagreement": [0.5, 1]}) == pytest.approx([0, 1])
    assert departure("ensemble", {"member.1": [0, 1, 0], "member.2": [0, 3, 0]}) == pytest.approx([0, 0, 2])
    assert departure("ensemble gap", {"member.1": [0, 1], "member.2": [0, 2]}, [0, 4]) == pytest.approx([0, 2.5])
    assert departure("proxy", {"length": [1, 1]}, [0.5, 2]) == pytest.approx([0, 1.5])
    assert departure("KL", {"length": [1, 1, 1]}) == [0, 1, 2]


@pytest.mark.parametrize("name", SIGNALS)
def test_no_signal_looks_ahead(planted: list[CurvePoint], name: str) -> None:
    whole_S = SIGNALS[name].departure(planted)
    assert np.isfinite(whole_S).all()
    for so_far in range(1, S):
        np.testing.assert_allclose(SIGNALS[name].departure(planted[:so_far]), whole_S[:so_far])


@pytest.mark.parametrize("name", [name for name in SIGNALS if name not in ("proxy", "KL")])
def test_a_run_without_the_sign_raises_no_alarm(name: str) -> None:
    bare = points_of({})
    assert np.isnan(SIGNALS[name].departure(bare)).all()
    assert SignalRule(SIGNALS[name], -1e9)(bare) is None


def test_an_alarm_called_point_by_point_first_speaks_where_the_record_says(planted: list[CurvePoint]) -> None:
    for signal in SIGNALS.values():
        departure_S = signal.departure(planted)
        alarm = SignalRule(signal, float(np.quantile(departure_S, 0.7)))
        fired = [i for i in range(1, S + 1) if alarm(planted[:i])]
        assert fired[0] - 1 == first_alarm(departure_S, alarm.threshold)


def test_an_alarm_gives_its_reason_with_value_and_threshold_in_one_line() -> None:
    points = points_of({"test_rm.1k": np.array([0, 1, 0.5] + [0.5] * (S - 3))})
    reason = SignalRule(SIGNALS["test RM"], 0.25)(points)
    assert reason is not None
    assert reason.startswith("test RM: 0.5 standard deviations") and reason.endswith("(alarm at 0.25)")
    assert "\n" not in reason
    assert SignalRule(SIGNALS["test RM"], 0.75)(points) is None


def test_default_warnings_are_silent_while_nothing_happens_and_speak_where_words_come_round_again() -> None:
    names = ("length", "entropy", "repetition", "distinct-2", "test_rm.1k", "rm_gap.1k", "member.1")
    flat = points_of({name: np.ones(S) for name in names})
    assert DEFAULT_ALARMS
    for rule in DEFAULT_ALARMS:
        assert [rule(flat[:i]) for i in range(1, S + 1)] == [None] * S
    looping = points_of({"repetition": np.linspace(0.2, 0.6, S), "distinct-2": np.linspace(0.97, 0.6, S)})
    for rule in DEFAULT_ALARMS:
        reasons = [rule(looping[:i]) for i in range(1, S + 1)]
        assert reasons[1] is None and reasons[-1] is not None and "(alarm at 0.0" in reasons[-1]
