"""A panel with a row for each name of a setting: the runs as pale dots, their mean with its interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from mlproject.experiments.findings import labels
from mlproject.experiments.findings.evidence import mean_interval
from mlproject.experiments.findings.frame import groups
from mlproject.plotting.theme import GRID, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_INCHES = 0.36
_SPREAD = 0.62
"""Part of a row over which its colours are spread."""
_MARGIN = 0.06
"""Of the range of all runs, on either side."""


def rows_height(table: pd.DataFrame, y: str) -> float:
    """Height of such a panel, inches."""
    return _ROW_INCHES * table[y].nunique() + 0.7


def draw_rows(
    axes: Axes,
    table: pd.DataFrame,
    cells: pd.DataFrame,
    x: str,
    y: str,
    colour: Sequence[str],
    colours: Mapping[str, str],
) -> None:
    """Draw a panel.

    Args:
        axes: styled.
        table: all runs of the figure, which determine rows and range.
        cells: those of the panel.
        x: column of the number that is shown.
        y: setting with a row for each of its names, in the order in which they come first.
        colour: settings that have colours.
        colours: of each, by its label.
    """
    names = list(dict.fromkeys(table[y]))
    keys = [labels.key(key) for key, _ in groups(table, colour)] if colour else [""]
    for key, runs in groups(cells, colour):
        place = keys.index(labels.key(key)) if colour else 0
        shift = _SPREAD * ((place + 0.5) / len(keys) - 0.5)
        shade = colours[labels.key(key)] if colour else INK
        for name, of_name in runs.groupby(y):
            at = names.index(name) + shift
            values = of_name[x].dropna()
            axes.plot(values, [at] * len(values), "o", color=shade, alpha=0.3, markersize=3, markeredgewidth=0)
            mean = mean_interval(values)
            if math.isfinite(mean.low):
                axes.plot([mean.low, mean.high], [at, at], color=shade, linewidth=1.4, solid_capstyle="butt")
            axes.plot(
                [mean.value], [at], "o", color=shade, markersize=5.5, markeredgecolor="white", markeredgewidth=0.7
            )
    low, high = float(table[x].min()), float(table[x].max())
    margin = _MARGIN * max(high - low, 1e-9)
    axes.set_xlim(low - margin, high + margin)  # what three runs cannot tell reaches beyond
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), [labels.value(name) for name in names])
    axes.grid(False, axis="y")
    for boundary in range(1, len(names)):
        axes.axhline(boundary - 0.5, color=GRID, linewidth=0.8, zorder=0)
