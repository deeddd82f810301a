"""Figures of a search: a colour for each RM size, and pruned trials drawn as what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from mlproject.names import TrialAttribute
from mlproject.plotting import theme
from mlproject.plotting.colours import pale
from mlproject.search.space import Coefficient

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.trial import FrozenTrial

Row = Mapping[str, Any]

_PEAK_GOLD, _PEAK_GOLD_SE = "peak gold (standard deviations)", "peak gold ±1 SE over prompts\n(standard deviations)"

PRUNED: theme.Style = {"marker": "x", "markersize": 7, "markeredgewidth": 1.6, "linestyle": "none"}
"""The end of a pruned trial: its highest gold up to there, which is no peak."""


def peaks_figure(rows: Sequence[Row], colours: Mapping[str, str], coefficient: Coefficient) -> Figure:
    """Peak gold of the trials by a coefficient; pruned ones as crosses.

    Args:
        rows: of `trials.csv`, those that have a peak gold and the coefficient.
        colours: by RM size, smallest first.
        coefficient: of the searched method.
    """
    name = coefficient.name
    coefficients = sorted({float(row[name]) for row in rows})
    figure, axes, legend = _with_legend(4.3)
    for index, (rm_size, colour) in enumerate(colours.items()):
        dodge = 0.06 * (index - (len(colours) - 1) / 2)
        of_size = sorted((row for row in rows if row["rm_size"] == rm_size), key=lambda row: float(row[name]))
        whole = [row for row in of_size if row["state"] == "COMPLETE"]
        x = [coefficients.index(float(row[name])) + dodge for row in whole]
        gold, se = ([float(row[key] or 0.0) for row in whole] for key in ("peak_gold", "peak_gold_se"))
        axes.errorbar(x, gold, yerr=se, color=colour, marker="o", markersize=6, linewidth=1.1, capsize=3)
        pruned = [row for row in of_size if row["state"] == "PRUNED"]
        x = [coefficients.index(float(row[name])) + dodge for row in pruned]
        axes.plot(x, [float(row["peak_gold"]) for row in pruned], color=colour, **PRUNED)
    unit = f" ({coefficient.unit})" if coefficient.unit else ""
    theme.style_axes(axes, "", coefficient.label + unit, _PEAK_GOLD_SE)
    axes.set_xticks(range(len(coefficients)), [f"{value:g}" for value in coefficients])
    axes.set_xlim(-0.4, len(coefficients) - 0.6)
    theme.add_legends(legend, [("RM size:", [*_keys(colours), *_pruned_key(rows)])])
    return figure


def history_figure(rows: Sequence[Row], colours: Mapping[str, str]) -> Figure:
    """Peak gold by trial, and the best so far; pruned trials as crosses.

    Args:
        rows: of `trials.csv`, those that have a peak gold.
        colours: by RM size, smallest first.
    """
    figure, axes, legend = _with_legend(3.6)
    whole = [row for row in rows if row["state"] == "COMPLETE"]
    for row in rows:
        style: theme.Style = PRUNED if row["state"] == "PRUNED" else {"marker": "o", "markersize": 6}
        axes.plot([int(row["number"])], [float(row["peak_gold"])], color=colours[row["rm_size"]], **style)
    best_so_far = np.maximum.accumulate([float(row["peak_gold"]) for row in whole])
    axes.step(
        [int(row["number"]) for row in whole], best_so_far, where="post", color=theme.MUTED, linewidth=1.1, zorder=1
    )
    theme.style_axes(axes, "", "trial", _PEAK_GOLD)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    so_far = theme.legend_entry("best so far", color=theme.MUTED, linewidth=1.1)
    theme.add_legends(legend, [("RM size:", [*_keys(colours), *_pruned_key(rows), so_far])])
    return figure


def curves_figure(trials: Sequence[tuple[FrozenTrial, Row]], colours: Mapping[str, str]) -> Figure:
    """Gold of the trials over sqrt(KL), with their peaks; pruned trials pale, to a cross where they ended.

    Args:
        trials: those that reported points, each with its row.
        colours: by RM size, smallest first.
    """
    figure, axes, legend = _with_legend(4.6)
    for trial, row in trials:
        kl_by_step = trial.user_attrs[TrialAttribute.CURVE_KL]
        steps = [step for step in sorted(trial.intermediate_values) if str(step) in kl_by_step]
        d = np.sqrt([kl_by_step[str(step)] for step in steps])
        gold = [trial.intermediate_values[step] for step in steps]
        colour = colours[row["rm_size"]]
        if row["state"] == "PRUNED":
            axes.plot(d, gold, color=pale(colour), linewidth=1.4, linestyle=(0, (4, 2)), zorder=1)
            axes.plot(d[-1:], gold[-1:], color=colour, **PRUNED)
        else:
            best = int(np.argmax(gold))
            axes.plot(d, gold, color=colour, **theme.GOLD_LINE)
            axes.plot(d[best], gold[best], "o", color=colour, markersize=7, markeredgecolor="white", zorder=4)
    theme.style_axes(axes, "", theme.SQRT_KL_LABEL, "gold above the initial policy\n(standard deviations)")
    axes.set_xlim(left=0)
    theme.kl_axis(axes)
    peak = theme.legend_entry("peak", marker="o", markersize=7, markeredgecolor="white", linestyle="none")
    theme.add_legends(legend, [("RM size:", [*_keys(colours), peak, *_pruned_key([row for _, row in trials])])])
    return figure


def pareto_figure(rows: Sequence[Row], cost: str, colours: Mapping[str, str]) -> Figure:
    """Peak gold of whole trials against their cost.

    Args:
        rows: of `trials.csv`.
        cost: what the cost is.
        colours: by RM size, smallest first.
    """
    figure, axes, legend = _with_legend(4.3)
    for row in rows:
        axes.plot([float(row["cost"])], [float(row["peak_gold"])], "o", color=colours[row["rm_size"]], markersize=7)
    theme.style_axes(axes, "", cost, _PEAK_GOLD)
    theme.add_legends(legend, [("RM size:", _keys(colours))])
    return figure


def _with_legend(height: float) -> tuple[Figure, Axes, Axes]:
    """A figure, its axes, and axes for the legend below."""
    figure = theme.new_figure(theme.WIDTH, height)
    grid = figure.add_gridspec(2, 1, height_ratios=[1, 0.09])
    return figure, figure.add_subplot(grid[0]), figure.add_subplot(grid[1])


def _keys(colours: Mapping[str, str]) -> list[Any]:
    return [theme.legend_entry(name, color=colour, linewidth=4) for name, colour in colours.items()]


def _pruned_key(rows: Sequence[Row]) -> list[Any]:
    return [theme.legend_entry("pruned", **PRUNED)] if any(row["state"] == "PRUNED" for row in rows) else []
