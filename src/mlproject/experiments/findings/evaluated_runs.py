"""Policy runs with what their witnesses said, and the stops that follow from it.

Axis letters: S curve points.
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
from mlproject.monitoring.alarm_scores import GroundTruth, StopIndex, bootstrap_mean, ground_truth_of
from mlproject.monitoring.signals import SIGNALS, mean_series
from mlproject.optimization.auxiliary_rms import GAP, TEST_RM

SAME, LARGEST = "of the proxy's size", "largest"
"""Which test RM."""


@dataclass(frozen=True)
class EvaluatedRun:
    """One policy run and what its witnesses said.

    Attributes:
        cell: the run.
        truth: what gold says of it.
        points: as measured.
        views: the points with one test RM alone, by which.
    """

    cell: Cell
    truth: GroundTruth
    points: Sequence[CurvePoint]
    views: Mapping[str, Sequence[CurvePoint]]

    @property
    def setting(self) -> tuple[str, float, float]:
        """What runs of different seeds share."""
        told = self.cell.settings
        return told["rm_size"], told["kl_coef"], told["label_noise"]

    def score(self, which: str) -> Array:
        """A test RM's mean score at each point."""
        return mean_series(self.views[which], TEST_RM)


def evaluated_run(cell: Cell) -> EvaluatedRun:
    """Read one run."""
    points = list(cell.curve)
    tests = [name.removeprefix(TEST_RM) for name in cell.curve.statistics_S if name.startswith(TEST_RM)]
    largest = max(tests, key=lambda size: SIZES[size].reward_model_parameters, default="")

    def view(size: str) -> list[CurvePoint]:
        other = tuple(prefix + size for prefix in (TEST_RM, GAP))
        hidden = [n for n in points[0].statistics if n.startswith((TEST_RM, GAP)) and n not in other]
        return [replace(p, statistics={n: v for n, v in p.statistics.items() if n not in hidden}) for p in points]

    views = {SAME: view(cell.settings["rm_size"]), LARGEST: view(largest)}
    return EvaluatedRun(cell, ground_truth_of(cell.curve), points, views)


def departures_of(runs: Sequence[EvaluatedRun]) -> dict[str, list[Array]]:
    """Departures of every signal in every run; those of a test RM once for each test RM."""
    found: dict[str, list[Array]] = {}
    for name, signal in SIGNALS.items():
        if name.startswith("test RM"):
            for which in (SAME, LARGEST):
                found[f"{name}, {which}"] = [signal.departure(run.views[which]) for run in runs]
        else:
            found[name] = [signal.departure(run.points) for run in runs]
    return found


def forecast_stop(run: EvaluatedRun) -> StopIndex:
    """Where `stop=forecast` would have ended a run, with gold as its yardstick."""
    forecast = Forecast("ppo", None, int(run.cell.settings.get("eval_samples", 1)))
    for i, point in enumerate(run.points):
        if point.kl >= forecast.update(point).loses_beyond_kl:
            return i
    return None


def mean(values: Sequence[float] | Array, form: str = ".3f") -> str:
    """Mean over runs with its bootstrap interval."""
    if len(values) == 0:
        return ""
    low, high = bootstrap_mean(values)
    said = f"{np.mean(values):{form}}"
    return said if math.isnan(low) else f"{said} [{low:{form}}, {high:{form}}]"


def share(hits: int, of: int) -> str:
    """A share with Wilson's interval."""
    if of == 0:
        return ""
    low, high = wilson_interval(hits / of, of)
    return f"{hits} of {of} [{low:.0%}, {max(high, 0):.0%}]"
