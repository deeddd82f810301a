"""Finished policy runs with their gold-free signals, and where a stop rule would have ended them.

Axis letters: S curve points, C runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlproject.curve import Array, CurvePoint
from mlproject.experiments.results import Cell
from mlproject.laws import Forecast, wilson_interval
from mlproject.models.sizes import SIZES
from mlproject.monitoring.alarm_scores import GroundTruth, StopIndex, bootstrap_mean
from mlproject.monitoring.signals import SIGNALS, mean_series
from mlproject.names import StatisticPrefix
from mlproject.optimization import find_method
from mlproject.optimization.stopping import ForecastStop, follow

SAME, LARGEST = "of the proxy's size", "largest"
"""Which test RM a signal is taken from."""


@dataclass(frozen=True)
class EvaluatedRun:
    """One finished policy run that auxiliary reward models have scored.

    Attributes:
        cell: the run in its experiment.
        truth: its ground truth, from gold.
        points: as measured. Length S.
        views: the points with the statistics of one test RM alone, by `SAME` and `LARGEST`.
    """

    cell: Cell
    truth: GroundTruth
    points: Sequence[CurvePoint]
    views: Mapping[str, Sequence[CurvePoint]]

    @classmethod
    def of(cls, cell: Cell) -> EvaluatedRun:
        """Read one run of an experiment."""
        points = list(cell.curve)
        sizes = [
            name.removeprefix(StatisticPrefix.TEST_RM)
            for name in cell.curve.statistics_S
            if name.startswith(StatisticPrefix.TEST_RM)
        ]
        largest = max(sizes, key=lambda size: SIZES[size].reward_model_parameters, default="")
        views = {SAME: _view(points, cell.settings["rm_size"]), LARGEST: _view(points, largest)}
        return cls(cell, GroundTruth.of(cell.curve), points, views)

    @property
    def setting(self) -> tuple[str, float, float]:
        """RM size, KL coefficient, label noise: what runs of different seeds share."""
        settings = self.cell.settings
        return settings["rm_size"], settings["kl_coef"], settings["label_noise"]

    def score(self, which: str) -> Array:
        """A test RM's mean score at each point. Shape: (S,)."""
        return mean_series(self.views[which], StatisticPrefix.TEST_RM)


def _view(points: Sequence[CurvePoint], size: str) -> list[CurvePoint]:
    """Points without the statistics of test RMs of other sizes."""
    visible = {StatisticPrefix.TEST_RM + size, StatisticPrefix.RM_GAP + size}
    hidden = {
        name for name in points[0].statistics if name.startswith((StatisticPrefix.TEST_RM, StatisticPrefix.RM_GAP))
    } - visible
    return [
        replace(p, statistics={name: value for name, value in p.statistics.items() if name not in hidden})
        for p in points
    ]


def departures_of(runs: Sequence[EvaluatedRun]) -> dict[str, list[Array]]:
    """Departures of every signal in every run, by signal; a signal of a test RM stands once for each test RM.

    Returns:
        lists of length C, of shape (S,) each.
    """
    departures: dict[str, list[Array]] = {}
    for name, signal in SIGNALS.items():
        if name.startswith("test RM"):
            for which in (SAME, LARGEST):
                departures[f"{name}, {which}"] = [signal.departure(run.views[which]) for run in runs]
        else:
            departures[name] = [signal.departure(run.points) for run in runs]
    return departures


def forecast_stop(run: EvaluatedRun) -> StopIndex:
    """Where `stop=forecast` would have ended a run, without a prior."""
    forecast = Forecast(find_method(run.cell.settings["method"]), None, int(run.cell.settings.get("eval_samples", 1)))
    drawn: list[CurvePoint] = []
    decision = follow(run.points, [ForecastStop(forecast.update)], [drawn.append])
    return None if decision is None else len(drawn) - 1


def mean(values_C: Sequence[float] | Array, form: str = ".3f") -> str:
    """Mean over runs with its bootstrap interval; empty for no runs."""
    if len(values_C) == 0:
        return ""
    low, high = bootstrap_mean(values_C)
    text = f"{np.mean(values_C):{form}}"
    return text if math.isnan(low) else f"{text} [{low:{form}}, {high:{form}}]"


def share(hits: int, total: int) -> str:
    """A share with Wilson's interval; empty for a total of 0."""
    if total == 0:
        return ""
    low, high = wilson_interval(hits / total, total)
    return f"{hits} of {total} [{low:.0%}, {max(high, 0):.0%}]"
