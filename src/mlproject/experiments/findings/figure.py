"""The figure of an experiment, as specified in its YAML file."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from mlproject.errors import UserError
from mlproject.experiments.findings import labels
from mlproject.experiments.findings.frame import CURVE_COLUMN, check_columns, frame, groups, names
from mlproject.experiments.findings.panels import (
    RUN_LINE,
    STYLES,
    WIN_RATE,
    are_repeats,
    draw_curves,
    draw_dots,
    frame_curves,
    limit_ticks,
    scale_dots,
    style,
    values_along,
)
from mlproject.experiments.findings.rows import draw_rows, rows_height
from mlproject.experiments.results import Result
from mlproject.experiments.spec import CURVE_AXES
from mlproject.models.sizes import SIZES
from mlproject.plotting import theme
from mlproject.plotting.colours import rm_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANEL_HEIGHT = {1: 3.9, 2: 3.4, 3: 2.9, 4: 2.7}  # inches, by number of columns
_TITLE_WIDTH = {4: 14, 3: 20, 2: 32, 1: 80}  # characters above a panel, by number of columns; longer ones are broken
_LEGEND_HEIGHT = 0.27
_LEGEND_WIDTH = 100  # characters
_SAMPLE_WIDTH = 9  # of a legend entry's line, in characters


def draw(result: Result, spec: Mapping[str, Any]) -> Figure:
    """Curves over KL or proxy score, one dot per run over any other x, or a row of dots for each name of y.

    Runs that differ only in their seed are drawn as the mean at each step, over a thin line per run.

    Args:
        result: the result to draw.
        spec: `x`, `y` (names; for curves: gold, proxy, human, win_rate; a setting whose values are names has a row
            for each, with the mean over runs and its interval), `colour` and `panels` (names of settings).

    Returns:
        a figure of page width with one panel per value of `panels` (and per `y` if it shows dots). Curves of win rate
        have panels of their own, below the others, with the law of the method.

    Raises:
        UserError: if no cell has a name.
    """
    table = frame(result)
    x, y, colour, panels = str(spec["x"]), names(spec["y"]), names(spec.get("colour")), names(spec.get("panels"))
    along, settings = x in CURVE_AXES, list(result.cells[0].settings) if result.cells else []
    in_rows = bool(y) and x not in {*CURVE_AXES, *settings} and y[0] in settings and not is_numeric_dtype(table[y[0]])
    _check(table, x, y, along, in_rows)
    check_columns(table, colour, "colour")
    check_columns(table, panels, "panels")
    colours = _colours([values for values, _ in groups(table, colour)])
    mean = along and any(are_repeats(repeats, settings) for _, repeats in groups(table, list({*panels, *colour})))
    legend = _legend(colour, colours, y if along else [], mean)
    shown = [*filter(None, ([name for name in y if name != WIN_RATE], [WIN_RATE] * (WIN_RATE in y)))]
    shown = shown if along else [[name] for name in y]
    parts = [(scores, values, cells) for scores in shown for values, cells in groups(table, panels)]
    rows, columns = _layout([labels.group(values) for _, values, _ in parts], len(shown) if along else 1)
    height = rows_height(table, y[0]) if in_rows else _PANEL_HEIGHT[columns]
    heights = [height * rows + 0.3, *([_LEGEND_HEIGHT * len(legend) + 0.05] if legend else [])]
    figure = theme.new_figure(theme.WIDTH, sum(heights))
    places = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    halves = [figure.add_subfigure(places[row]) for row in range(len(heights))]
    above = halves[0]
    shared = panels == ["seed"] or (not along and len(y) == 1)  # same quantity, same range
    grid = above.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared)
    filled = _filled(len(parts), len(shown) if along else 1, columns)
    for index, (scores, values, cells) in zip(filled, parts, strict=True):
        axes = grid.flat[index]
        labelled = index % columns == 0 or (len(shown) > 1 and not along)
        label = labels.SCORE if along and scores[0] != WIN_RATE else "" if in_rows else labels.axis_label(scores[0])
        title = textwrap.fill(labels.group(values), _TITLE_WIDTH[columns])
        theme.style_axes(axes, title, "", label if labelled else "")
        limit_ticks(axes, 7 if columns < 3 else 5)
        if in_rows:
            draw_rows(axes, table, cells, x, y[0], colour, colours)
            continue
        if not along:
            scale_dots(axes, table, x, scores[0], x in settings)
        for key, runs in groups(cells, colour):
            if along:
                draw_curves(axes, runs, x, scores, colours[labels.key(key)], are_repeats(runs, settings))
            else:
                draw_dots(axes, runs, x, scores[0], colours[labels.key(key)], joined=x in settings)
        if along:
            frame_curves(axes, table if shared else cells, x, scores)
        axes.tick_params(labelbottom=True)
    for index in set(range(grid.size)) - set(filled):
        grid.flat[index].set_visible(False)
    above.supxlabel(labels.axis_label(x), fontsize=10, color=theme.INK)
    if legend:
        theme.add_legends(halves[1].add_subplot(), legend)
    return figure


def _check(table: pd.DataFrame, x: str, y: Sequence[str], along: bool, in_rows: bool) -> None:
    if not y:
        raise UserError("y=[]: must have at least one name.")
    if not along:
        check_columns(table, [x], "x", numbers=in_rows)
        check_columns(table, y, "y", numbers=not in_rows)
        return
    curves = list(table.get(CURVE_COLUMN, []))
    statistics = dict.fromkeys(name for curve in curves for name in curve.statistics_S)
    valid = [name for name in (*STYLES, *statistics) if any(values_along(curve, name) is not None for curve in curves)]
    if unknown := [name for name in y if name not in valid]:
        raise UserError(f"y={', '.join(unknown)}: no curve has it; over {x} it must be one of {', '.join(valid)}.")


def _layout(titles: Sequence[str], blocks: int) -> tuple[int, int]:
    """Numbers of rows and columns of panels; a row has as many as their titles leave room for, of one block each."""
    longest = max(map(len, titles))
    most = next((columns for columns, room in _TITLE_WIDTH.items() if longest <= room and columns > 1), 2)
    panels = len(titles) // blocks
    rows = math.ceil(panels / most)
    return blocks * rows, math.ceil(panels / rows)


def _filled(panels: int, blocks: int, columns: int) -> list[int]:
    """Index of each panel in the grid: every block begins a row."""
    of_block = panels // blocks
    rows = math.ceil(of_block / columns)
    return [block * rows * columns + index for block in range(blocks) for index in range(of_block)]


def _colours(keys: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Colour by key: of RM sizes their own, shades for other ordered values, distinct colours for a few names."""
    values = [value for key in keys for value in key.values()]
    if len(values) == len(keys) and set(values) <= set(SIZES):
        return dict(zip([labels.key(key) for key in keys], rm_colours(values).values(), strict=True))
    unordered = all(isinstance(value, str) and value not in SIZES for value in values)
    few = 1 < len(keys) <= len(theme.CATEGORY_COLOURS) and len(values) == len(keys)
    colours = theme.CATEGORY_COLOURS[: len(keys)] if unordered and few else theme.shades(len(keys))
    return dict(zip([labels.key(key) for key in keys], colours, strict=True))


def _legend(colour: Sequence[str], colours: Mapping[str, str], scores: Sequence[str], mean: bool) -> list[Any]:
    """Legend rows (heading, entries): colours, as many per row as fit; then line styles."""
    rows: list[tuple[str, list[Any]]] = []
    width = math.inf
    for text, shade in colours.items() if colour else ():
        width += len(text) + _SAMPLE_WIDTH
        if width > _LEGEND_WIDTH:
            rows.append((f"{labels.setting(colour[0])}:" if len(colour) == 1 and not rows else "", []))
            width = len(rows[-1][0]) + len(text) + _SAMPLE_WIDTH
        rows[-1][1].append(theme.legend_entry(text, color=shade, linewidth=4))
    keys = {name: theme.legend_entry(labels.score(name), **style(name)) for name in scores if name != WIN_RATE}
    if WIN_RATE in scores:  # its panels say so
        keys["law"] = theme.legend_entry("its law, fitted to the mean", **theme.LAW_LINE)
    if mean:
        keys["run"] = theme.legend_entry(f"{scores[0]} of one run", **RUN_LINE)
    elif "gold" in keys:
        keys["gold"].set_label("gold ±1 SE over prompts")
    return [*rows, ("mean over seeds:" if mean else "", list(keys.values()))] if keys else rows
