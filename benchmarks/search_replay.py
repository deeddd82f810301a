"""What a search costs until it is near the best of the grid, replayed on the stored curves of the full grid.

    python benchmarks/search_replay.py [--results experiments/results] [--repeats 200] [--gp-repeats 30]

The grid is the result `kl_by_size`: PPO over RM sizes x KL coefficients x seeds. Each repeat is a sequential Optuna
study over the two indices on one seed of the grid. A trial replays its cell's curve point by point, its pruner may end
it, and it costs the policy updates that it replayed; a cell that was run before in the study costs nothing, for runs
are reused. A repeat ends when the peak gold of a COMPLETE trial is within 2 % of the grid's best.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from mlproject.archive import load_result
from mlproject.curve import Curve
from mlproject.laws import Forecast
from mlproject.tracking.law_pruner import LawPruner, Verdict, report

NEAR = 0.98
"""Share of the grid's best peak gold at which a search has arrived."""

RESAMPLES = 2000


@dataclass
class Grid:
    """The curves of one seed.

    Attributes:
        curves: by (KL coefficient index, RM size index).
        rm_params: by RM size index.
    """

    curves: Mapping[tuple[int, int], Curve]
    rm_params: Sequence[float]

    def __post_init__(self) -> None:
        self.points = {
            cell: [(p.step, p.gold, p.gold_se, p.kl) for p in curve] for cell, curve in self.curves.items()
        }
        self.peaks = {
            cell: [curve.peak().gold for curve in prefixes(curve)] for cell, curve in self.curves.items()
        }
        self.best = max(peaks[-1] for peaks in self.peaks.values())
        self.budget = max(int(curve.steps_S[-1]) for curve in self.curves.values())
        self.stops = {cell: forecast_stop(curve) for cell, curve in self.curves.items()}

    @property
    def updates(self) -> int:
        """Of the full grid."""
        return sum(int(curve.steps_S[-1]) for curve in self.curves.values())


def prefixes(curve: Curve) -> list[Curve]:
    return [
        Curve(curve.steps_S[:n], curve.kl_S[:n], curve.proxy_SP[:n], curve.gold_SP[:n])
        for n in range(1, len(curve) + 1)
    ]


def forecast_stop(curve: Curve) -> int:
    """Index of the point at which a run with `stop=forecast` and no prior ends."""
    forecast = Forecast("ppo")
    for index, point in enumerate(curve):
        if point.kl >= forecast.update(point).loses_beyond_kl:
            return index
    return len(curve) - 1


def read_grids(folder: Path) -> dict[int, Grid]:
    """One grid for each seed."""
    cells = [cell for cell in load_result("kl_by_size", folder).cells if cell.settings["method"] == "ppo"]
    coefs = sorted({cell.settings["kl_coef"] for cell in cells})
    params = sorted({cell.settings["rm_params"] for cell in cells})
    grids = {}
    for seed in sorted({cell.settings["seed"] for cell in cells}):
        curves = {
            (coefs.index(cell.settings["kl_coef"]), params.index(cell.settings["rm_params"])): cell.curve
            for cell in cells
            if cell.settings["seed"] == seed
        }
        grids[seed] = Grid(curves, params)
    return grids


@dataclass
class Search:
    """What one repeat came to."""

    updates: int = 0
    trials: int = 0
    arrived: bool = False
    seconds: float = 0.0
    pruned: list[float] = field(default_factory=list)  # full peaks of trials that were ended as hopeless
    best: float = float("-inf")

    @property
    def wrong(self) -> int:
        return sum(peak > self.best for peak in self.pruned)


def replay(grid: Grid, sampler: optuna.samplers.BaseSampler, pruner: object, cap: int, log=None, first=None) -> Search:
    """One repeat."""
    law = pruner if isinstance(pruner, LawPruner) else None
    stop_at_forecast, pruner = pruner == "forecast", None if pruner == "forecast" else pruner
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner or optuna.pruners.NopPruner())
    coefs, sizes = (1 + max(axis) for axis in zip(*grid.curves, strict=True))
    space = {"kl_coef_index": IntDistribution(0, coefs - 1), "rm_size_index": IntDistribution(0, sizes - 1)}
    for f in first or (): study.enqueue_trial(f)
    found, known = Search(), {}
    while found.trials < cap and not found.arrived:
        start = time.perf_counter()
        trial = study.ask(space)
        cell = trial.params["kl_coef_index"], trial.params["rm_size_index"]
        trial.set_user_attr("rm_params", grid.rm_params[cell[1]])
        again = known.get(cell)
        end, state, points = len(grid.points[cell]) - 1, TrialState.COMPLETE, grid.points[cell]
        for index, point in enumerate(points if again is None else points[: again[0] + 1]):
            report(trial, *point)
            if again is not None:
                continue
            if law:
                kind = law.verdict(study, trial).kind
                if kind is Verdict.GO_ON:
                    continue
                end, state = index, TrialState.COMPLETE if kind is Verdict.PEAK_IS_BEHIND else TrialState.PRUNED
                break
            if stop_at_forecast and index == grid.stops[cell]:
                end = index
                break
            if pruner and index < len(points) - 1 and trial.should_prune():
                end, state = index, TrialState.PRUNED
                break
        if again is None:
            known[cell] = end, state
            found.updates += points[end][0]
            if state == TrialState.PRUNED:
                found.pruned.append(grid.peaks[cell][-1])
        else:
            end, state = again
        if state == TrialState.COMPLETE:
            study.tell(trial, grid.peaks[cell][end])
            found.best = max(found.best, grid.peaks[cell][end])
        else:
            study.tell(trial, state=TrialState.PRUNED)
        found.trials += 1
        found.arrived = found.best >= NEAR * grid.best
        found.seconds += time.perf_counter() - start
        if log is not None:
            log.append((cell, points[end][0] if again is None else 0, state.name, grid.peaks[cell][end], grid.peaks[cell][-1]))
    return found
