"""Style of the figures: colours, line styles, axes and legends. Does not use pyplot or its global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from mlproject.plotting.colours import rm_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

Style = dict[str, Any]

INK, MUTED, GRID = "#1f2430", "#5d6473", "#e4e6eb"
METHOD_COLOURS = ("#2166ac", "#c1501b", "#4d7f39", "#7a4fa3")
HUMAN_COLOUR = "#b3257a"
CATEGORY_COLOURS = (
    "#2166ac", "#c1501b", "#4d7f39", "#7a4fa3", "#b3257a", "#c98a06", "#2a8c8c", "#7b5a3a", "#5d6473", "#b5483a",
)  # fmt: skip
"""Colours of things without an order, such as the kinds of steps."""
WAITING = "#9aa0ac"
MARKERS = ("o", "s", "D", "^")
GOLD_LINE: Style = {"linestyle": "-", "linewidth": 1.7}
PROXY_LINE: Style = {"linestyle": (0, (5, 2.5)), "linewidth": 1.2, "alpha": 0.75}
LAW_LINE: Style = {
    "linestyle": (0, (1, 1.8)),
    "linewidth": 1.6,
    "color": INK,
    "path_effects": [withStroke(linewidth=2.8, foreground="white")],  # visible on dark curves too
}
FAINT = 0.35
"""Opacity of a law that does not fit."""
WIDTH = 8.4
"""Width of a figure on a page, inches."""
SQRT_KL_LABEL = "distance from the initial policy, $\\sqrt{\\mathrm{KL}}$ (square-root nats)"

_LEGEND_SIZE = 9.5
_SHADES = (0.0, 0.82)  # range of viridis: lighter shades are illegible on white
_NEAR_TICKS = (0, 0.1, 0.25, 0.5, 1, 2, 3, 4, 6, 8)
_FAR_TICKS = (0, 1, 3, 5, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 600, 1000, 1500, 2000, 3000)


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of this size (inches) that needs no display."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def size_colours(sizes: Mapping[str, int]) -> dict[str, str]:
    """A colour per RM size, smallest first; each size has the same everywhere.

    Args:
        sizes: number of parameters by name.
    """
    return rm_colours(sorted(sizes, key=lambda name: sizes[name]))


def shades(count: int) -> list[str]:
    """Colours from dark to light, in even steps."""
    return [to_hex(colormaps["viridis"](shade)) for shade in (np.linspace(*_SHADES, count) if count > 1 else [0.3])]


def style_axes(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Left-aligned title, labels, a light grid, and no spines above and to the right."""
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=8)
    axes.set_xlabel(x, fontsize=10, color=INK)
    axes.set_ylabel(y, fontsize=10, color=INK)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    axes.tick_params(colors=MUTED, labelsize=9, length=3)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color("#9aa0ac")


def kl_axis(axes: Axes) -> None:
    """A second x axis on top, in nats, for axes in sqrt(KL)."""
    end = axes.get_xlim()[1]
    ticks: list[float] = []
    for kl in _NEAR_TICKS if end**2 < 9 else _FAR_TICKS:
        if kl <= end**2 and (not ticks or np.sqrt(kl) - np.sqrt(ticks[-1]) >= end / 12):
            ticks.append(kl)
    above = axes.secondary_xaxis("top")
    above.set_xticks(np.sqrt(ticks), [f"{kl:g}" for kl in ticks])
    above.set_xlabel("KL from the initial policy (nats)", fontsize=9, color=MUTED, labelpad=4)
    above.tick_params(colors=MUTED, labelsize=8.5, length=3)
    above.spines["top"].set_color("#9aa0ac")


def size_axis(axes: Axes, sizes: Mapping[str, int]) -> None:
    """A log axis of parameters with the names of the RM sizes as ticks."""
    params = list(sizes.values())
    axes.set_xscale("log")
    axes.set_xticks(params, list(sizes))
    axes.set_xticks([], minor=True)
    axes.set_xlim(min(params) / 1.6, max(params) * 1.6)


def legend_entry(label: str, **style: Any) -> Line2D:
    """A legend entry for a style rather than for one line."""
    return Line2D([], [], **{"color": INK, "label": label, **style})


def add_legends(axes: Axes, rows: Sequence[tuple[str, Sequence[Line2D]]]) -> None:
    """Legend rows (heading or empty, entries) in axes that contain nothing else; smaller where one would be cut off."""
    axes.set_axis_off()
    for index, (heading, entries) in enumerate(rows):
        head = [Line2D([], [], linestyle="none", label=heading)] if heading else []
        height = 1 - (index + 0.5) / len(rows)
        legend = _legend_row(axes, [*head, *entries], height, _LEGEND_SIZE)
        room, width = axes.get_figure(root=True).bbox.width * 0.94, legend.get_window_extent().width  # type: ignore[union-attr]
        if width > room:
            legend.remove()
            legend = _legend_row(axes, [*head, *entries], height, _LEGEND_SIZE * room / width)
        for label in legend.get_texts()[: len(head)]:
            label.set_color(MUTED)
        if index + 1 < len(rows):  # axes keep only their last legend
            axes.add_artist(legend)


def _legend_row(axes: Axes, handles: Sequence[Line2D], height: float, size: float) -> Legend:
    """A legend of one row in the middle of the figure, at a share of the axes' height; lengths are in font sizes."""
    legend = axes.legend(
        handles=handles,
        ncols=len(handles),
        loc="center",
        bbox_to_anchor=(0.5, height),
        bbox_transform=blended_transform_factory(axes.get_figure(root=True).transFigure, axes.transAxes),  # type: ignore[union-attr]
        frameon=False,
        fontsize=size,
        handlelength=2.6,
        columnspacing=1.5,
        handletextpad=0.6,
        labelcolor=INK,
    )
    legend.set_in_layout(False)
    return legend
