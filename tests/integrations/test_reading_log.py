"""Where the readings of a foreign training go: its folder, its run, the log."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlproject.curve import Curve, CurvePoint
from mlproject.errors import NotFiniteError
from mlproject.integrations.reading_log import ReadingLog
from mlproject.monitoring.monitor import AlarmRule, OveroptimizationMonitor

COST = {"monitor/seconds": 0.5}


class FakeRun:
    """Keeps what would be written to MLflow."""

    def __init__(self) -> None:
        self.metrics: list[tuple[int, dict[str, float]]] = []
        self.tags: dict[str, str] = {}
        self.files: list[Path] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.metrics.append((step, metrics))

    def set_tags(self, tags: dict[str, str]) -> None:
        self.tags |= tags

    def log_artifact(self, path: Path) -> None:
        self.files.append(path)


def points() -> list[CurvePoint]:
    return [CurvePoint(10 * i, i**2, np.full(4, float(i)), np.arange(4) + i * (1 - 0.2 * i)) for i in range(6)]


@pytest.fixture
def monitor() -> OveroptimizationMonitor:
    far = AlarmRule("far", lambda so_far: f"KL {so_far[-1].kl:g}" if so_far[-1].kl >= 4 else "")
    return OveroptimizationMonitor(rules=[far], truth="people")


def written(monitor, folder: Path, run: Any, stops_at: int | None = None) -> ReadingLog:
    log = ReadingLog(monitor, folder, run)
    for point in points():
        reading = monitor.update(point)
        log.save_points()
        log.write(reading, COST, stopped=point.step == stops_at)
    return log


def test_an_alarm_is_explained_once_and_its_metric_is_logged_at_every_point(monitor, tmp_path, caplog) -> None:
    run = FakeRun()
    with caplog.at_level(logging.INFO):
        written(monitor, tmp_path, run)
    assert [record.message for record in caplog.records if "far" in record.message] == [
        "overoptimization: step 20, far: KL 4"
    ]
    assert run.tags["mlproject.alarm.far"] == "step 20: KL 4" and "mlproject.complete" not in run.tags
    assert [(step, m["alarms/far"]) for step, m in run.metrics] == [(10 * i, float(i >= 2)) for i in range(6)]
    assert all(m["monitor/seconds"] == 0.5 for _, m in run.metrics)
    readings = [record.message for record in caplog.records if "people" in record.message]
    assert len(readings) >= 6 and readings[0].endswith("(0.5 s)")


def test_a_training_that_is_stopped_is_marked_as_incomplete(monitor, tmp_path) -> None:
    run = FakeRun()
    written(monitor, tmp_path, run, stops_at=50)
    assert run.tags["mlproject.complete"] == "false"


def test_the_points_before_a_step_are_read_back_and_without_a_file_there_are_none(monitor, tmp_path) -> None:
    assert ReadingLog(monitor, tmp_path, None).earlier_points(30) == []
    written(monitor, tmp_path, None)
    earlier = ReadingLog(OveroptimizationMonitor(), tmp_path, None).earlier_points(30)
    assert [point.step for point in earlier] == [0, 10, 20]
    assert all(np.array_equal(a.gold_P, b.gold_P) for a, b in zip(earlier, points(), strict=False))


@pytest.mark.parametrize("has_gold", [True, False])
def test_the_end_of_a_training_is_summed_up_where_there_is_gold(has_gold, monitor, tmp_path) -> None:
    run = FakeRun()
    written(monitor, tmp_path, run).finish(has_gold)
    step, summary = run.metrics[-1]
    assert ("peak/gold" in summary) == has_gold and step == 50
    if has_gold:
        assert summary["peak/kl"] == Curve.from_points(points()).peak().kl
    assert [path.relative_to(tmp_path) for path in run.files] == [
        Path("overoptimization.csv"), Path("overoptimization/curve.npz"),
    ]  # fmt: skip
    assert all(path.is_file() for path in run.files)


def test_what_is_not_a_number_is_told_where_it_came_from_and_the_end_is_summed_up_without_it(tmp_path, caplog) -> None:
    monitor, run = OveroptimizationMonitor(rules=[]), FakeRun()
    log = ReadingLog(monitor, tmp_path, run)
    problem = NotFiniteError("proxy my-rm", "gives nan", "Check it.").at("at step 50")
    stream = [*points()[:5], replace(points()[5], gold_P=np.full(4, np.nan), proxy_P=np.full(4, np.nan))]
    for point in stream:
        log.write(monitor.update(point), COST, False, [problem] if point.step == 50 else [])
    log.save_points()
    assert "overoptimization: proxy my-rm: gives nan, at step 50. Check it." in caplog.messages
    assert run.tags["mlproject.alarm.not-a-number"] == "step 50: proxy my-rm: gives nan, at step 50. Check it."
    assert [m["alarms/not-a-number"] for _, m in run.metrics] == [0, 0, 0, 0, 0, 1]
    log.finish(has_gold=True)
    step, summary = run.metrics[-1]
    assert step == 40 and summary["peak/kl"] == Curve.from_points(points()[:5]).peak().kl
    assert [point.step for point in log.earlier_points(60)] == [0, 10, 20, 30, 40, 50]
