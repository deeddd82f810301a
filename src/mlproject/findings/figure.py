"""The figure of an experiment, as its YAML file describes it.

Axis letters: S curve points.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlproject import theme
from mlproject.archive import Result
from mlproject.curve import Curve
from mlproject.errors import UserError
from mlproject.experiments import ALONG
from mlproject.findings.frame import CURVE, check_columns, frame, groups, label, names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES: Mapping[str, theme.Style] = {
    "gold": theme.GOLD_LINE,
    "proxy": theme.PROXY_LINE,
    "human": {"linestyle": (0, (4, 1.5, 1, 1.5)), "linewidth": 1.3},
}
_LABELS = {
    "sqrt_kl": "$\\sqrt{\\mathrm{KL}}$ (square-root nats)",
    "kl": "KL from the initial policy (nats)",
    "proxy": "proxy score (gold standard deviations)",
    "peak/gold": "peak gold (standard deviations)",
    "peak/kl": "peak KL (nats)",
    "curve/gold": "gold at the last point (standard deviations)",
    "rm/val_loss": "validation loss (nats)",
    "n_comparisons": "comparisons",
    "rm_params": "RM parameters",
}
_LOGARITHMIC = ("n_comparisons", "rm_params", "peak/kl")
_COLUMNS = 3
_DPI = 110
_LEGEND_ROW = 4


def draw(result: Result, spec: Mapping[str, Any]) -> Figure:
    """Curves over KL or proxy score, or a dot for each run over anything else.

    Args:
        result: whose cells.
        spec: `x`, `y` (names; of a curve: gold, proxy, human), `colour` and `panels` (names of settings).

    Raises:
        UserError: for a name that no cell has.
    """
    table = frame(result)
    x, y, colour, panels = spec["x"], names(spec["y"]), names(spec.get("colour")), names(spec.get("panels"))
    along = x in ALONG
    if along and (unknown := [name for name in y if name not in _STYLES]):
        raise UserError(f"y={', '.join(unknown)}: over {x} there are {', '.join(_STYLES)}")
    for part, given in (("x", [] if along else [x]), ("y", [] if along else y), ("colour", colour), ("panels", panels)):
        check_columns(table, given, part)
    parts = list(groups(table, panels))
    keys = [label(values) for values, _ in groups(table, colour)]
    colours = dict(zip(keys, theme.shades(len(keys)), strict=True))
    columns = min(_COLUMNS, len(parts))
    rows = -(-len(parts) // columns)
    legend_rows = -(-len(keys) // _LEGEND_ROW) + along
    figure = theme.canvas(theme.WIDTH, 0.4 + 3.3 * rows + 0.3 * legend_rows)
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[*[3.3] * rows, 0.3 * legend_rows])
    for index, (values, cells) in enumerate(parts):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        for group, mine in groups(cells, colour):
            drawn = colours[label(group)]
            if along:
                _lines(axes, mine[CURVE], x, y, drawn)
            else:
                _dots(axes, mine, x, y[0], drawn)
        theme.dress(axes, label(values), _LABELS.get(x, x), "" if index % columns else _score(y, along))
        _scale(axes, cells, x, y, along)
    _legend(figure, grid[rows, :], colours, y if along else [])
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _legend(figure: Figure, place: Any, colours: Mapping[str, str], styles: list[str]) -> None:
    entries = [theme.key(text, color=colour, linewidth=4) for text, colour in colours.items() if text]
    lines = [("", entries[i : i + _LEGEND_ROW]) for i in range(0, len(entries), _LEGEND_ROW)]
    if styles:
        lines.append(("a line per run:", [theme.key(name, **_STYLES[name]) for name in styles]))
    if lines:
        theme.legends(figure.add_subplot(place), lines)


def _score(y: list[str], along: bool) -> str:
    return "score above the initial policy\n(standard deviations)" if along else _LABELS.get(y[0], y[0])


def _lines(axes: Axes, curves: pd.Series, x: str, y: list[str], colour: str) -> None:
    for curve in curves:
        x_S = {"sqrt_kl": curve.sqrt_kl_S, "kl": curve.kl_S, "proxy": curve.proxy_S}[x]
        for name in y:
            y_S = _values(curve, name)
            if y_S is not None:
                axes.plot(x_S, y_S, color=colour, **_STYLES[name])


def _values(curve: Curve, name: str) -> np.ndarray | None:
    return {"gold": curve.gold_S, "proxy": curve.proxy_S, "human": curve.human_S}[name]


def _dots(axes: Axes, cells: pd.DataFrame, x: str, y: str, colour: str) -> None:
    """One dot per run, and a line through the means where several runs share an x."""
    axes.plot(cells[x], cells[y], "o", color=colour, markersize=4.5, markeredgecolor="white", alpha=0.9)
    means = cells.groupby(x)[y].mean()
    if len(means) < len(cells):
        axes.plot(means.index, means, color=colour, linewidth=1.5)


def _scale(axes: Axes, cells: pd.DataFrame, x: str, y: list[str], along: bool) -> None:
    if along:
        axes.axhline(0, color="#9aa0ac", linewidth=0.8, zorder=1)
        axes.set_xlim(left=0)
        if x == "sqrt_kl" and "proxy" in y:
            golds = np.concatenate([curve.gold_S for curve in cells[CURVE]])
            proxies = np.concatenate([curve.proxy_S for curve in cells[CURVE]])
            low, high = float(golds.min()), float(golds.max())
            axes.set_ylim(low - 0.1, min(float(proxies.max()), low + (high - low) / 0.45) + 0.1)
    if x in _LOGARITHMIC:
        axes.set_xscale("log")
    if not along and y[0] in _LOGARITHMIC:
        axes.set_yscale("log")
