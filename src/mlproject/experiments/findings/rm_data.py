"""Reward models trained on more and more comparisons: what more data gains, and from which threshold on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, verdict
from mlproject.experiments.findings.evidence import (
    law_of,
    mean_interval,
    rank_correlations,
    select,
    slope_interval,
    values_of,
)
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Plane, plane, trend
from mlproject.names import Metric

CHANCE = math.log(2)
NEAR_CHANCE = 0.02
"""A reward model within this of chance, log 2, in validation loss (nats) counts as no better (Gao et al.: .686)."""


def analyse(result: Result) -> Finding:
    """Claims about the value of data, the threshold, and data compared with parameters."""
    cells = select(result, method="best-of-n")
    rho = [
        value
        for size in values_of(result, "rm_size")
        for value in rank_correlations(select(result, method="best-of-n", rm_size=size), _peak, by="n_comparisons")
    ]
    thresholds = {size: _threshold(result, size) for size in values_of(result, "rm_size")}
    reached = [count for count in thresholds.values() if count is not None]
    laws = [law_of(cell) for cell in cells]
    params = [cell.settings["rm_params"] for cell in cells]
    data = [cell.settings["n_comparisons"] for cell in cells]
    planes = {name: plane([getattr(law, name) for law in laws], params, data) for name in ("alpha", "beta")}
    peaks = plane([_peak(cell) for cell in cells], params, data)
    trained = [cell for cell in cells if not _near_chance(cell)]
    least = min(values_of(result, "n_comparisons"))
    peak_of_all, peak_of_trained = (mean_interval([_peak(cell) for cell in group]) for group in (cells, trained))
    claims = [
        Claim(
            "More comparisons give higher peak gold (figs. 4, 10)",
            f"+{_slope(peaks, 1)} standard deviations per tenfold data at fixed size; rank correlations with data from "
            f"{min(rho):+.2f} to {max(rho):+.2f} (by size and seed)",
            verdict(np.mean(np.array(rho) > 0.5) > 0.8, max(rho) < 0),
        ),
        Claim(
            "Below a threshold that is the same for every RM size, validation loss is near chance and gains are tiny "
            "(about 2,000 comparisons in the paper)",
            "smallest count with a validation loss clearly below chance: "
            + ", ".join(f"{size} {count or 'none'}" for size, count in thresholds.items())
            + f"; mean peak gold of all {peak_of_all}, of those better than chance {peak_of_trained}",
            verdict(
                len(reached) == len(thresholds) and max(reached) <= 2 * min(reached) and min(reached) > least,
                len(reached) > 1 and max(reached) >= 8 * min(reached),
            ),
        ),
        Claim(
            "Larger RMs gain more from data past the threshold (fig. 21)",
            *_gain_by_size(result),
        ),
        _tidiness(cells, planes),
    ]
    return Finding(
        claims=claims,
        tables={"Peak gold, best-of-n (mean over seeds)": _matrix(cells, _peak)}
        | {
            "Validation loss (log 2 = .693 is chance)": _matrix(
                cells, lambda cell: cell.metrics[Metric.RM_VAL_LOSS_CALIBRATED]
            ),
            "Gold at the largest n": _matrix(cells, lambda cell: float(cell.curve.gold_S[-1])),
        },
        notes=[
            "A tenth of the comparisons is held out: validation losses at the smallest counts are based on few pairs."
        ],
    )


def _peak(cell: Cell) -> float:
    return cell.curve.peak().gold


def _near_chance(cell: Cell) -> bool:
    return cell.metrics[Metric.RM_VAL_LOSS] > CHANCE - NEAR_CHANCE


def _threshold(result: Result, size: str) -> int | None:
    """Smallest number of comparisons from which on the mean validation loss is clearly below chance; None if none."""
    threshold = None
    for count in reversed(values_of(result, "n_comparisons")):
        cells = select(result, method="best-of-n", rm_size=size, n_comparisons=count)
        if not cells or np.mean([cell.metrics[Metric.RM_VAL_LOSS] for cell in cells]) > CHANCE - NEAR_CHANCE:
            break
        threshold = count
    return threshold


def _slope(surface: Plane, axis: int) -> str:
    low, high = surface.slope_intervals[axis]
    return f"{surface.slopes[axis]:.2f} [{low:.2f}, {high:.2f}]"


def _tidiness(cells: list[Cell], planes: Mapping[str, Plane]) -> Claim:
    """R^2 of each coefficient over data (at the largest RM) against R^2 over parameters (at the most data)."""
    most, largest = (max(cell.settings[name] for cell in cells) for name in ("n_comparisons", "rm_params"))
    lines = {"data": ("n_comparisons", "rm_params", largest), "parameters": ("rm_params", "n_comparisons", most)}
    r2: dict[tuple[str, str], float] = {}
    for coefficient, (name, (size, fixed, at)) in itertools.product(planes, lines.items()):
        group = [cell for cell in cells if cell.settings[fixed] == at]
        sizes = [cell.settings[size] for cell in group]
        enough = len(group) >= 3 and len(set(sizes)) >= 2
        coefficients = [getattr(law_of(cell), coefficient) for cell in group]
        r2[coefficient, name] = trend(coefficients, sizes).r2 if enough else math.nan
    less = [r2[coefficient, "data"] < r2[coefficient, "parameters"] for coefficient in planes]
    more = [r2[coefficient, "data"] > r2[coefficient, "parameters"] for coefficient in planes]
    return Claim(
        "alpha and beta have less clear trends over data than over parameters (figs. 17, 18)",
        "; ".join(
            f"{name}: R2 {_digits(r2[name, 'data'])} over data, {_digits(r2[name, 'parameters'])} over parameters; per "
            f"tenfold data {_slope(surface, 1)}, per tenfold parameters {_slope(surface, 0)}"
            for name, surface in planes.items()
        ),
        verdict(all(less), all(more)),
    )


def _digits(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.2f}"


def _gain_by_size(result: Result) -> tuple[str, str]:
    slopes = {}
    for size in values_of(result, "rm_size"):
        cells = [cell for cell in select(result, method="best-of-n", rm_size=size) if not _near_chance(cell)]
        if len({cell.settings["n_comparisons"] for cell in cells}) >= 3:
            slopes[size] = slope_interval([_peak(c) for c in cells], [c.settings["n_comparisons"] for c in cells])
    if len(slopes) < 2:
        return "too few reward models are better than chance", "cannot tell"
    small, large = slopes[next(iter(slopes))], slopes[next(reversed(slopes))]
    return (
        "peak gold per tenfold data past the threshold: " + "; ".join(f"{k} {v}" for k, v in slopes.items()),
        verdict(large.low > small.high, large.high < small.low),
    )


def _matrix(cells: list[Cell], value: Callable[[Cell], float]) -> pd.DataFrame:
    sizes = list(dict.fromkeys(cell.settings["rm_size"] for cell in cells))
    rows = []
    for count in sorted({cell.settings["n_comparisons"] for cell in cells}):
        row: dict[str, object] = {"comparisons": count}
        for size in sizes:
            values = [value(c) for c in cells if (c.settings["rm_size"], c.settings["n_comparisons"]) == (size, count)]
            row[size] = f"{np.mean(values):.3f}" if values else ""
        rows.append(row)
    return pd.DataFrame(rows)
