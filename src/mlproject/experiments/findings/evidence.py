"""Functions that several findings share: selecting cells, fitting laws, and intervals of means and trends.

Seeds are the statistical units: intervals are t-intervals over runs with different seeds, so they describe variation
between seeds, not between prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mlproject.curve import Curve
from mlproject.experiments.results import Cell, Result
from mlproject.laws import MIN_D, Estimate, Fit, fit_form, law_for, spearman, t_975, trend
from mlproject.optimization import find_method


def mean_interval(values: Iterable[float]) -> Estimate:
    """Mean over seeds with its t-interval; nan and infinite values are excluded."""
    finite = np.array([value for value in values if math.isfinite(value)])
    if len(finite) < 2:
        return Estimate(float(finite[0]) if len(finite) else math.nan, math.nan, math.nan)
    mean, margin = float(finite.mean()), t_975(len(finite) - 1) * float(finite.std(ddof=1)) / math.sqrt(len(finite))
    return Estimate(mean, mean - margin, mean + margin)


def ratio_interval(log_ratios: Iterable[float]) -> Estimate:
    """Geometric mean of ratios with its t-interval, from their logarithms."""
    return Estimate(*(float(np.exp(value)) for value in mean_interval(log_ratios)))


def slope_interval(values: Sequence[float], sizes: Sequence[float]) -> Estimate:
    """Change per tenfold size over all runs, with its t-interval."""
    pairs = [(value, size) for value, size in zip(values, sizes, strict=True) if math.isfinite(value)]
    line = trend([value for value, _ in pairs], [size for _, size in pairs])
    return Estimate(line.slope, *line.slope_interval)


def select(result: Result, **settings: Any) -> list[Cell]:
    """Cells with these settings, by RM size, then by seed."""
    cells = [cell for cell in result.cells if all(cell.settings.get(k) == v for k, v in settings.items())]
    return sorted(cells, key=lambda cell: (cell.settings["rm_params"], cell.settings["seed"]))


def values_of(result: Result, name: str) -> list[Any]:
    """Distinct values of a setting, ascending (RM sizes by number of parameters)."""
    order = {cell.settings[name]: cell.settings["rm_params"] for cell in result.cells if name in cell.settings}
    return sorted(order, key=order.__getitem__) if name == "rm_size" else sorted(order)


def methods_of(result: Result) -> list[str]:
    """Methods of the cells; those that select from the pool first."""
    names = {cell.settings["method"] for cell in result.cells}
    return sorted(names, key=lambda name: (find_method(name).trains_policy, name))


def seeds_of(cells: Iterable[Cell]) -> list[int]:
    """Distinct seeds."""
    return sorted({cell.settings["seed"] for cell in cells})


def law_of(cell: Cell) -> Fit:
    """The law of the cell's method, fitted to its gold."""
    form = law_for(find_method(cell.settings["method"]))
    return fit_form(form, cell.curve.sqrt_kl_S, cell.curve.gold_S, MIN_D[form.name])


def rank_correlations(cells: Sequence[Cell], value: Callable[[Cell], float], by: str = "rm_params") -> list[float]:
    """Spearman's correlation of a value with a setting, for each seed; 0 if either is constant."""
    correlations = []
    for seed in seeds_of(cells):
        of_seed = [cell for cell in cells if cell.settings["seed"] == seed]
        rho = spearman([cell.settings[by] for cell in of_seed], [value(cell) for cell in of_seed])
        correlations.append(0.0 if math.isnan(rho) else rho)
    return correlations


def peak_is_inside(curve: Curve) -> bool:
    """Whether gold is highest before the last point, so that the peak was reached."""
    return int(curve.gold_S.argmax()) < len(curve) - 1


def gold_at(curve: Curve, kl: float) -> float:
    """Gold at a KL (nats), by linear interpolation; nan if the curve did not reach it."""
    return _at(curve, curve.gold_S, kl)


def proxy_at(curve: Curve, kl: float) -> float:
    """Proxy score at a KL (nats), like `gold_at`."""
    return _at(curve, curve.proxy_S, kl)


def _at(curve: Curve, values_S: np.ndarray, kl: float) -> float:
    reached = float(curve.kl_S.max())
    if kl > reached and not math.isclose(kl, reached, rel_tol=1e-9):
        return math.nan
    order = curve.kl_S.argsort()
    return float(np.interp(kl, curve.kl_S[order], values_S[order]))
