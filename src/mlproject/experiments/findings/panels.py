"""The contents of one panel of a figure: curves over KL or proxy score, or one dot per run.

Axis letters: S curve points.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter

from mlproject.curve import Array, Curve
from mlproject.experiments.findings.frame import CURVE_COLUMN, in_order
from mlproject.experiments.findings.labels import value as value_label
from mlproject.laws import MIN_D, fit_form, law_for
from mlproject.names import Metric
from mlproject.optimization import Method, find_method
from mlproject.plotting import theme
from mlproject.plotting.curve_figure import plot_gold_band, score_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


STYLES: Mapping[str, theme.Style] = {
    "gold": {**theme.GOLD_LINE, "linewidth": 1.9},
    "proxy": {**theme.PROXY_LINE, "linewidth": 1.3},
    "win_rate": theme.GOLD_LINE,
    "human": {"linestyle": (0, (4, 1.5, 1, 1.5)), "linewidth": 1.4},
}
"""Line style of each score of a curve."""

WIN_RATE = "win_rate"
"""Win rate against the initial policy: the score that has an axis of its own."""

STATISTIC_LINE: theme.Style = {"linestyle": (0, (1, 1.2)), "linewidth": 1.5}
"""Line style of a stored statistic, such as the score of a test RM."""

RUN_LINE: theme.Style = {"linewidth": 0.7, "alpha": 0.5}
"""Line style of a single run below the mean over runs."""

_LOGARITHMIC = ("n_comparisons", "rm_params", "kl_coef", Metric.PEAK_KL, Metric.CURVE_KL)
_REPEATS = ("seed", "world_seed", "witnesses")


def values_along(curve: Curve, name: str) -> Array | None:
    """A score, distance or statistic at each curve point; None if the curve does not have it. Shape: (S,)."""
    return {
        **curve.statistics_S,
        "sqrt_kl": curve.sqrt_kl_S,
        "kl": curve.kl_S,
        "proxy": curve.proxy_S,
        "gold": curve.gold_S,
        "human": curve.human_S,
        WIN_RATE: curve.win_S,
    }.get(name)


def style(name: str) -> theme.Style:
    """Line style of a score or statistic."""
    return STYLES.get(name, STATISTIC_LINE)


def are_repeats(cells: pd.DataFrame, settings: Collection[str]) -> bool:
    """Whether runs differ only in their seeds and have the same steps, so that they can be averaged."""
    same = all(cells[name].nunique(dropna=False) == 1 for name in settings if name not in _REPEATS)
    return len(cells) > 1 and same and len({tuple(curve.steps_S) for curve in cells[CURVE_COLUMN]}) == 1


def draw_curves(axes: Axes, cells: pd.DataFrame, x: str, y: Sequence[str], colour: str, mean: bool) -> None:
    """Draw curves in one colour.

    Args:
        axes: the axes to draw in.
        cells: the runs.
        x: one of `CURVE_AXES`.
        y: scores; single runs are shown for the first one.
        colour: colour of all lines.
        mean: draw the mean at each step over thin lines of the single runs; otherwise a line per run, and for gold a
            band of one standard error over prompts.
    """
    curves = list(cells[CURVE_COLUMN])
    for name in y:
        drawn = [(values_along(curve, x), values_along(curve, name)) for curve in curves]
        lines = [(x_S, y_S) for x_S, y_S in drawn if x_S is not None and y_S is not None]
        if mean and lines:
            if name == y[0]:
                for line in lines:
                    axes.plot(*line, color=colour, **RUN_LINE)
            lines = [tuple(np.mean(lines, axis=0))]
            if name == WIN_RATE and x in ("sqrt_kl", "kl"):
                _draw_law(axes, find_method(cells.method.iloc[0]), *lines[0], x)
        for line in lines:
            axes.plot(*line, color=colour, **style(name))
    if "gold" in y and not mean:
        for curve in curves:
            x_S = values_along(curve, x)
            if x_S is not None:
                plot_gold_band(axes, curve, x_S, colour)


def _draw_law(axes: Axes, method: Method, x_S: Array, wins_S: Array, x: str) -> None:
    """Draw the law of a method through its win rates; nothing where there are too few points."""
    d_S, form = (x_S if x == "sqrt_kl" else np.sqrt(np.maximum(x_S, 0))), law_for(method)
    try:
        law = fit_form(form, d_S, wins_S - 0.5, MIN_D[form.name])
    except ValueError:
        return
    d = np.linspace(MIN_D[form.name], d_S.max(), 100)
    axes.plot(d if x == "sqrt_kl" else d**2, 0.5 + law.value(d), **theme.LAW_LINE, zorder=3)


def frame_curves(axes: Axes, cells: pd.DataFrame, x: str, y: Sequence[str]) -> None:
    """Set the limits of a panel of curves: x from 0, y for all scores, except that the proxy may leave the panel."""
    axes.axhline(0.5 if WIN_RATE in y else 0, color="#9aa0ac", linewidth=0.8, zorder=1)
    axes.set_xlim(0, 1.03 * max(_all(cells, x).max(), 1e-6))
    others = [name for name in y if name != "proxy"]
    if others and len(others) < len(y):
        axes.set_ylim(score_limits([_all(cells, name) for name in others], [_all(cells, "proxy")]))


def draw_dots(axes: Axes, cells: pd.DataFrame, x: str, y: str, colour: str, joined: bool) -> None:
    """Draw a dot per run, joined through the means at each x; `scale_dots` has given a position to names."""
    positions = axes.convert_xunits(cells[x])
    axes.plot(positions, cells[y], "o", color=colour, markersize=4.5, markeredgecolor="white", markeredgewidth=0.6)
    if joined:
        means = cells[y].groupby(positions).mean()
        axes.plot(means.index, means, color=colour, linewidth=1.5)


def limit_ticks(axes: Axes, most: int) -> None:
    """Limit the number of ticks on each axis."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))


def scale_dots(axes: Axes, table: pd.DataFrame, x: str, y: str, option: bool) -> None:
    """Set the scales of a panel of dots: a position per name, or a tick at each value of an option with a log scale.

    Args:
        axes: empty axes.
        table: all runs of the figure.
        x, y: names of the columns to be drawn.
        option: whether x is an option.
    """
    values = in_order(table[x].dropna())
    if not pd.api.types.is_numeric_dtype(table[x]):
        axes.xaxis.update_units([str(value) for value in values])
        axes.set_xticks(range(len(values)), [value_label(value) for value in values])
    elif option and x in _LOGARITHMIC:
        sizes = dict(zip(table[x], table["rm_size"], strict=True)) if x == "rm_params" and "rm_size" in table else {}
        smallest = min((value for value in values if value > 0), default=1)
        axes.set_xscale("symlog", linthresh=smallest, linscale=0.5) if min(values) <= 0 else axes.set_xscale("log")
        axes.set_xticks(values, [sizes.get(each, value_label(each)) for each in values])
        axes.set_xticks([], minor=True)
    elif x in _LOGARITHMIC:
        _log(axes.xaxis, axes.set_xscale, table[x])
    if y in _LOGARITHMIC:
        _log(axes.yaxis, axes.set_yscale, table[y])


def _log(axis: Axis, set_scale: Callable[[str], None], values: pd.Series) -> None:
    if (values.dropna() > 0).all():
        set_scale("log")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_formatter(NullFormatter())


def _all(cells: pd.DataFrame, name: str) -> Array:
    arrays = [values for curve in cells[CURVE_COLUMN] if (values := values_along(curve, name)) is not None]
    return np.concatenate(arrays) if arrays else np.zeros(1)
