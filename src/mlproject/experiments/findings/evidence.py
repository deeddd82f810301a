"""What several findings ask of curves: which ones, their laws, and how sure a mean, a difference or a trend is.

Seeds are the units: an interval is Student's t over the runs of different seeds, so that it speaks of another seed, not
of other prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mlproject.curve import Curve
from mlproject.experiments.results import Cell, Result
from mlproject.laws import MIN_D, Estimate, Fit, fit, law_for, spearman, t_975, trend


def mean_interval(values: Iterable[float]) -> Estimate:
    """Mean over seeds with its t-interval; values that are nan are left out."""
    kept = np.array([value for value in values if math.isfinite(value)])
    if len(kept) < 2:
        return Estimate(float(kept[0]) if len(kept) else math.nan, math.nan, math.nan)
    margin = t_975(len(kept) - 1) * float(kept.std(ddof=1)) / math.sqrt(len(kept))
    return Estimate(float(kept.mean()), float(kept.mean()) - margin, float(kept.mean()) + margin)


def slope_interval(values: Sequence[float], sizes: Sequence[float]) -> Estimate:
    """Change per tenfold size, over all runs, with its t-interval."""
    pairs = [(value, size) for value, size in zip(values, sizes, strict=True) if math.isfinite(value)]
    line = trend([value for value, _ in pairs], [size for _, size in pairs])
    return Estimate(line.slope, *line.slope_interval)


def select(result: Result, **settings: Any) -> list[Cell]:
    """Cells with these settings, smallest reward model first, then by seed."""
    found = [cell for cell in result.cells if all(cell.settings.get(k) == v for k, v in settings.items())]
    return sorted(found, key=lambda cell: (cell.settings["rm_params"], cell.settings["seed"]))


def values_of(result: Result, name: str) -> list[Any]:
    """Distinct values of a setting, in ascending order (reward-model sizes by parameters)."""
    order = {cell.settings[name]: cell.settings["rm_params"] for cell in result.cells if name in cell.settings}
    return sorted(order, key=order.__getitem__) if name == "rm_size" else sorted(order)


def methods_of(result: Result) -> list[str]:
    """Methods of the cells; best-of-n first."""
    return sorted({cell.settings["method"] for cell in result.cells}, key=lambda name: (name != "best-of-n", name))


def seeds_of(cells: Iterable[Cell]) -> list[int]:
    """Distinct seeds."""
    return sorted({cell.settings["seed"] for cell in cells})


def law_of(cell: Cell) -> Fit:
    """The law of the cell's method, fitted to its gold."""
    form = law_for(cell.settings["method"])
    return fit(form, cell.curve.sqrt_kl_S, cell.curve.gold_S, MIN_D[form.name])


def rank_correlations(cells: Sequence[Cell], value: Callable[[Cell], float], by: str = "rm_params") -> list[float]:
    """Spearman's correlation of a value with a setting, seed by seed; 0 where either is the same throughout."""
    found = []
    for seed in seeds_of(cells):
        mine = [cell for cell in cells if cell.settings["seed"] == seed]
        rho = spearman([cell.settings[by] for cell in mine], [value(cell) for cell in mine])
        found.append(0.0 if math.isnan(rho) else rho)
    return found


def peak_is_inside(curve: Curve) -> bool:
    """Whether gold is highest before the last point, so that the peak was reached."""
    return int(curve.gold_S.argmax()) < len(curve) - 1


def gold_at(curve: Curve, kl: float) -> float:
    """Gold at a KL (nats), by straight lines between points; nan where the curve did not get there."""
    return _at(curve, curve.gold_S, kl)


def proxy_at(curve: Curve, kl: float) -> float:
    """Proxy score at a KL, as `gold_at`."""
    return _at(curve, curve.proxy_S, kl)


def _at(curve: Curve, values_S: np.ndarray, kl: float) -> float:
    reached = float(curve.kl_S.max())
    if kl > reached and not math.isclose(kl, reached, rel_tol=1e-9):
        return math.nan
    order = curve.kl_S.argsort()
    return float(np.interp(kl, curve.kl_S[order], values_S[order]))
