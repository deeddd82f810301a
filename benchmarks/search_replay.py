"""Cost of a search until it is close to the best cell of the grid, replayed on the stored curves of the full grid.

    python benchmarks/search_replay.py [--results experiments/results] [--repeats 200] [--gp-repeats 30] [--arms law]

The grid is the result `kl_by_size`: PPO over RM sizes x KL coefficients x seeds. Each repeat is a sequential Optuna
study over the two indices, on one seed of the grid (cyclically). A trial replays the curve of its cell point by point,
the pruner may end it, and it costs the policy updates that were replayed; a cell that was run before in the study has
the same outcome at no cost, because runs are reused. A repeat succeeds when the peak gold of a COMPLETE trial is within
2 % of the grid's best, and fails after a number of trials.

`cost` is updates over all repeats / successful repeats: the expected cost if a failed search is restarted (expected
running time; Auger and Hansen 2005). `speed-up` is relative to Optuna's default, TPE with MedianPruner, with 95 %
bootstrap intervals over repeats. A pruning is wrong if the full curve of the trial would have beaten the final best.

Axis letters: C repeats (each a run of the search), W bootstrap resamples.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import GPSampler, TPESampler
from optuna.trial import Trial, TrialState

from mlproject.curve import Curve
from mlproject.experiments.results import load_result
from mlproject.laws import Forecast, wilson_interval
from mlproject.names import TrialAttribute
from mlproject.search.law_pruner import LawPruner, PrunerDecision, TrialEvaluation, report_point

NEAR = 0.98  # share of the grid's best peak gold
MOST_TRIALS, RESAMPLES = 60, 2000
COEF, SIZE = "kl_coef_index", "rm_size_index"
Cell = tuple[int, int]


class Grid:
    """The curves of one seed, by cell: (KL coefficient index, RM size index).

    Attributes:
        points: (update, gold, its standard error, KL) of every point.
        peaks: peak gold of the curve up to every point.
        stops: index of the point at which `stop=forecast` ends a run.
        best: peak gold of the best cell.
        budget, updates: policy updates of one cell, and of all.
    """

    def __init__(self, curves: Mapping[Cell, Curve], rm_params: Sequence[float]) -> None:
        self.points = {cell: [(p.step, p.gold, p.gold_se, p.kl) for p in curve] for cell, curve in curves.items()}
        self.peaks = {
            cell: [Curve.from_points(list(curve)[:n]).peak().gold for n in range(1, len(curve) + 1)]
            for cell, curve in curves.items()
        }
        self.stops = {cell: forecast_stop(curve) for cell, curve in curves.items()}
        self.rm_params = rm_params
        self.best = max(peaks[-1] for peaks in self.peaks.values())
        self.budget = max(points[-1][0] for points in self.points.values())
        self.updates = sum(points[-1][0] for points in self.points.values())


def forecast_stop(curve: Curve) -> int:
    """Index of the point at which a run with `stop=forecast` and no prior ends."""
    forecast = Forecast("ppo")
    stops = (index for index, point in enumerate(curve) if point.kl >= forecast.update(point).loses_beyond_kl)
    return next(stops, len(curve) - 1)


def read_grids(folder: Path) -> list[Grid]:
    """One grid per seed."""
    cells = [cell for cell in load_result("kl_by_size", folder).cells if cell.settings["method"] == "ppo"]
    coefs, params, seeds = (sorted({c.settings[name] for c in cells}) for name in ("kl_coef", "rm_params", "seed"))
    curves: list[dict[Cell, Curve]] = [{} for _ in seeds]
    for cell in cells:
        index = coefs.index(cell.settings["kl_coef"]), params.index(cell.settings["rm_params"])
        curves[seeds.index(cell.settings["seed"])][index] = cell.curve
    return [Grid(of_seed, params) for of_seed in curves]


@dataclass(frozen=True)
class Arm:
    """A search strategy.

    Attributes:
        pruner: creates the pruner of a repeat from the updates of a trial; None: only `stop=forecast` ends trials.
        report_prediction: whether a trial that cannot win reports its predicted peak instead of PRUNED (ignored by GP).
        largest_first: whether the first trial is the largest RM without a penalty.
    """

    pruner: Callable[[int], BasePruner] | None
    report_prediction: bool = False
    largest_first: bool = False


ARMS = {
    "law": Arm(lambda budget: LawPruner(budget=budget)),
    "law, prediction reported": Arm(lambda budget: LawPruner(budget=budget), report_prediction=True),
    "law, largest RM first": Arm(lambda budget: LawPruner(budget=budget), largest_first=True),
    "law, largest RM first, prediction reported": Arm(
        lambda budget: LawPruner(budget=budget), report_prediction=True, largest_first=True
    ),
    "median": Arm(lambda _: MedianPruner()),
    "median, largest RM first": Arm(lambda _: MedianPruner(), largest_first=True),
    "hyperband": Arm(lambda budget: HyperbandPruner(max_resource=budget)),
    "stop at forecast": Arm(None),
    "none": Arm(lambda _: NopPruner()),
}
BASE = "tpe", "median"


class Outcome(NamedTuple):
    """Outcome of a cell: its last point, its state, and the reported value (None for PRUNED)."""

    end: int
    state: TrialState
    value: float | None


@dataclass
class Search:
    """One repeat; `pruned` is the peak gold of the full curves of pruned trials."""

    updates: int = 0
    trials: int = 0
    succeeded: bool = False
    seconds: float = 0.0
    best: float = float("-inf")
    pruned: list[float] = field(default_factory=list)


def run_trial(grid: Grid, cell: Cell, arm: Arm, study: optuna.Study, trial: Trial) -> Outcome:
    """Replay a cell until it ends."""
    points, peaks = grid.points[cell], grid.peaks[cell]
    for index, point in enumerate(points):
        report_point(trial, *point)
        evaluation = TrialEvaluation(PrunerDecision.CONTINUE)
        if isinstance(study.pruner, LawPruner):
            evaluation = study.pruner.evaluate(study, trial)
        if evaluation.decision is PrunerDecision.PAST_PEAK or (arm.pruner is None and index == grid.stops[cell]):
            break
        if evaluation.decision is PrunerDecision.CANNOT_WIN:
            return Outcome(index, TrialState.PRUNED, evaluation.predicted_peak_gold if arm.report_prediction else None)
        if not isinstance(study.pruner, LawPruner) and point is not points[-1] and trial.should_prune():
            return Outcome(index, TrialState.PRUNED, None)
    return Outcome(index, TrialState.COMPLETE, peaks[index])


def search(grid: Grid, sampler: optuna.samplers.BaseSampler, arm: Arm) -> Search:
    """One repeat."""
    pruner = arm.pruner(grid.budget) if arm.pruner else NopPruner()
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    coefs, sizes = (max(axis) for axis in zip(*grid.points, strict=True))
    space = {COEF: IntDistribution(0, coefs), SIZE: IntDistribution(0, sizes)}
    if arm.largest_first:
        study.enqueue_trial({COEF: 0, SIZE: sizes})
    repeat, start = Search(), time.perf_counter()
    outcomes: dict[Cell, Outcome] = {}
    while repeat.trials < MOST_TRIALS and not repeat.succeeded:
        trial = study.ask(space)
        cell = trial.params[COEF], trial.params[SIZE]
        trial.set_user_attr(TrialAttribute.RM_PARAMS, grid.rm_params[cell[1]])
        if cell in outcomes:
            for point in grid.points[cell][: outcomes[cell].end + 1]:
                report_point(trial, *point)
        else:
            outcomes[cell] = run_trial(grid, cell, arm, study, trial)
            repeat.updates += grid.points[cell][outcomes[cell].end][0]
            if outcomes[cell].state == TrialState.PRUNED:
                repeat.pruned.append(grid.peaks[cell][-1])
        outcome = outcomes[cell]
        study.tell(trial, outcome.value, TrialState.PRUNED if outcome.value is None else TrialState.COMPLETE)
        if outcome.state == TrialState.COMPLETE:
            repeat.best = max(repeat.best, outcome.value or 0.0)
        repeat.trials += 1
        repeat.succeeded = repeat.best >= NEAR * grid.best
    repeat.seconds = time.perf_counter() - start
    return repeat


def costs(repeats: Sequence[Search], index_WC: NDArray[np.int64]) -> NDArray[np.float64]:
    """Updates per successful repeat, for resamples of the repeats; infinite if none succeeded. Shape: (W,)."""
    updates_C, succeeded_C = np.array([(repeat.updates, repeat.succeeded) for repeat in repeats]).T
    with np.errstate(divide="ignore"):
        return updates_C[index_WC].sum(axis=1) / succeeded_C[index_WC].sum(axis=1)


def row(name: str, repeats: Sequence[Search], base: Sequence[Search]) -> dict[str, str]:
    """One row of the table. Arms with equally many repeats are resampled together, because they share seeds."""
    base_W, cost_W = (
        costs(
            of, np.vstack([np.arange(len(of)), np.random.default_rng(0).integers(len(of), size=(RESAMPLES, len(of)))])
        )
        for of in (base, repeats)
    )
    ratio_W = base_W / cost_W
    low, high = np.nanpercentile(ratio_W[1:], [2.5, 97.5])
    pruned, wrong = sum(len(s.pruned) for s in repeats), sum(peak > s.best for s in repeats for peak in s.pruned)
    wrong_low, wrong_high = wilson_interval(wrong / max(pruned, 1), pruned)
    updates, trials = [s.updates for s in repeats], sum(s.trials for s in repeats)
    return {
        "sampler, pruner": name,
        "repeats": str(len(repeats)),
        "succeeded": f"{np.mean([s.succeeded for s in repeats]):.0%}",
        "updates mean": f"{np.mean(updates):.0f}",
        "median": f"{np.median(updates):.0f}",
        "cost": f"{cost_W[0]:.0f}",
        "speed-up": f"{ratio_W[0]:.2f} [{low:.2f}, {high:.2f}]",
        "trials": f"{trials / len(repeats):.1f}",
        "pruned wrongly": f"{wrong} of {pruned}: {wrong / max(pruned, 1):.1%} [{wrong_low:.1%}, {wrong_high:.1%}]",
        "s/trial": f"{sum(s.seconds for s in repeats) / trials:.3f}",
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("experiments/results"))
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--gp-repeats", type=int, default=30, help="of GPSampler, which is slow")
    parser.add_argument("--arms", default=";".join(ARMS), help="separated by semicolons: %(default)s")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    grids, start = read_grids(options.results), time.perf_counter()
    by_arm: dict[tuple[str, str], list[Search]] = {}
    for sampler, make, repeats in (("tpe", TPESampler, options.repeats), ("gp", GPSampler, options.gp_repeats)):
        for arm in options.arms.split(";") if repeats else []:
            by_arm[sampler, arm] = [
                search(grids[repeat % len(grids)], make(seed=repeat), ARMS[arm]) for repeat in range(repeats)
            ]
            print(f"{time.perf_counter() - start:.0f} s: {sampler}, {arm}", flush=True)
    base = by_arm.get(BASE) or next(iter(by_arm.values()))
    table = pd.DataFrame([row(", ".join(name), searches, base) for name, searches in by_arm.items()])
    print(table.to_string(index=False))
    print(f"full grid: {np.mean([grid.updates for grid in grids]):.0f} updates")


if __name__ == "__main__":
    main()
