"""Reward models trained on more and more comparisons: what data buys, and where it begins to buy anything."""

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
"""Nats of validation loss below log 2 under which a reward model counts as no better than chance (Gao: .686 is)."""


def analyse(result: Result) -> Finding:
    """Claims on the value of data, the threshold, and both against parameters."""
    cells = select(result, method="best-of-n")
    rho = [
        value
        for size in values_of(result, "rm_size")
        for value in rank_correlations(select(result, method="best-of-n", rm_size=size), _peak, by="n_comparisons")
    ]
    thresholds = {size: _threshold(result, size) for size in values_of(result, "rm_size")}
    known = [found for found in thresholds.values() if found is not None]
    laws = [law_of(cell) for cell in cells]
    params = [cell.settings["rm_params"] for cell in cells]
    data = [cell.settings["n_comparisons"] for cell in cells]
    planes = {name: plane([getattr(law, name) for law in laws], params, data) for name in ("alpha", "beta")}
    peaks = plane([_peak(cell) for cell in cells], params, data)
    learned = [cell for cell in cells if not _near_chance(cell)]
    least = min(values_of(result, "n_comparisons"))
    poor, rich = (
        mean_interval([_peak(cell) for cell in cells if cell in learned or not only]) for only in (False, True)
    )
    claims = [
        Claim(
            "More comparisons give higher peak gold (figs. 4, 10)",
            f"+{_slope(peaks, 1)} standard deviations per tenfold data at fixed size; rank correlations with data from "
            f"{min(rho):+.2f} to {max(rho):+.2f} (each size and seed)",
            verdict(np.mean(np.array(rho) > 0.5) > 0.8, max(rho) < 0),
        ),
        Claim(
            "Below a threshold, the same for every RM size, validation loss is near chance and gold gains are tiny "
            "(about 2,000 comparisons there)",
            "smallest count whose validation loss is clearly below chance: "
            + ", ".join(f"{size} {found or 'none'}" for size, found in thresholds.items())
            + f"; mean peak gold of all {poor}, of those better than chance {rich}",
            verdict(
                len(known) == len(thresholds) and max(known) <= 2 * min(known) and min(known) > least,
                len(known) > 1 and max(known) >= 8 * min(known),
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
        notes=["A tenth of the comparisons is held out: validation losses at the smallest counts rest on few pairs."],
    )


def _peak(cell: Cell) -> float:
    return cell.curve.peak().gold


def _near_chance(cell: Cell) -> bool:
    return cell.metrics[Metric.RM_VAL_LOSS] > CHANCE - NEAR_CHANCE


def _threshold(result: Result, size: str) -> int | None:
    """The smallest number of comparisons from which on the mean validation loss stays clearly below chance."""
    found = None
    for count in reversed(values_of(result, "n_comparisons")):
        cells = select(result, method="best-of-n", rm_size=size, n_comparisons=count)
        if not cells or np.mean([cell.metrics[Metric.RM_VAL_LOSS] for cell in cells]) > CHANCE - NEAR_CHANCE:
            break
        found = count
    return found


def _slope(found: Plane, axis: int) -> str:
    low, high = found.slope_intervals[axis]
    return f"{found.slopes[axis]:.2f} [{low:.2f}, {high:.2f}]"


def _tidiness(cells: list[Cell], planes: Mapping[str, Plane]) -> Claim:
    """R^2 of each coefficient over data (at the largest size) against R^2 over parameters (at the most data)."""
    most, largest = (max(cell.settings[name] for cell in cells) for name in ("n_comparisons", "rm_params"))
    lines = {"data": ("n_comparisons", "rm_params", largest), "parameters": ("rm_params", "n_comparisons", most)}
    r2: dict[tuple[str, str], float] = {}
    for coefficient, (name, (size, fixed, at)) in itertools.product(planes, lines.items()):
        mine = [cell for cell in cells if cell.settings[fixed] == at]
        sizes = [cell.settings[size] for cell in mine]
        known = len(mine) >= 3 and len(set(sizes)) >= 2
        coefficients = [getattr(law_of(cell), coefficient) for cell in mine]
        r2[coefficient, name] = trend(coefficients, sizes).r2 if known else math.nan
    less = [r2[coefficient, "data"] < r2[coefficient, "parameters"] for coefficient in planes]
    more = [r2[coefficient, "data"] > r2[coefficient, "parameters"] for coefficient in planes]
    return Claim(
        "alpha and beta follow data less tidily than parameters (figs. 17, 18)",
        "; ".join(
            f"{name}: R2 {_digits(r2[name, 'data'])} over data, {_digits(r2[name, 'parameters'])} over parameters; per "
            f"tenfold data {_slope(found, 1)}, per tenfold parameters {_slope(found, 0)}"
            for name, found in planes.items()
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
        return "too few reward models learned anything", "cannot tell"
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
            found = [value(c) for c in cells if c.settings["rm_size"] == size and c.settings["n_comparisons"] == count]
            row[size] = f"{np.mean(found):.3f}" if found else ""
        rows.append(row)
    return pd.DataFrame(rows)
