"""What stands in one panel of a figure: curves over KL or proxy score, or a dot for each run.

Axis letters: S curve points.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from mlproject.curve import Curve
from mlproject.experiments.findings.frame import CURVE_COLUMN, in_order
from mlproject.experiments.findings.labels import value as value_label
from mlproject.names import Metric
from mlproject.plotting import theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

Array = NDArray[np.float64]

STYLES: Mapping[str, theme.Style] = {
    "gold": {**theme.GOLD_LINE, "linewidth": 1.9},
    "proxy": {**theme.PROXY_LINE, "linewidth": 1.3},
    "human": {"linestyle": (0, (4, 1.5, 1, 1.5)), "linewidth": 1.4},
}
"""Scores of a curve, and how each is drawn."""

SIGN_LINE: theme.Style = {"linestyle": (0, (1, 1.2)), "linewidth": 1.5}
"""A sign that runs kept, such as a test RM's gain."""

RUN_LINE: theme.Style = {"linewidth": 0.7, "alpha": 0.5}
"""One run of several that a mean is taken over."""

_LOGARITHMIC = ("n_comparisons", "rm_params", "kl_coef", Metric.PEAK_KL, Metric.CURVE_KL)
_REPEATS = ("seed", "world_seed", "witnesses")
_GOLD_SHARE = 0.45  # of the height of a panel belongs to gold, at least; a proxy that rises higher leaves it


def values_along(curve: Curve, name: str) -> Array | None:
    """A score, distance or kept sign of each curve point; None where the curve does not have it. Shape: (S,)."""
    return {
        **curve.statistics_S,
        "sqrt_kl": curve.sqrt_kl_S,
        "kl": curve.kl_S,
        "proxy": curve.proxy_S,
        "gold": curve.gold_S,
        "human": curve.human_S,
    }.get(name)


def style(name: str) -> theme.Style:
    """How a score or sign is drawn."""
    return STYLES.get(name, SIGN_LINE)


def are_repeats(cells: pd.DataFrame, settings: Collection[str]) -> bool:
    """Whether runs differ in their seeds alone and have the same steps, so that a mean over them means something."""
    same = all(cells[name].nunique(dropna=False) == 1 for name in settings if name not in _REPEATS)
    return len(cells) > 1 and same and len({tuple(curve.steps_S) for curve in cells[CURVE_COLUMN]}) == 1


def draw_curves(axes: Axes, cells: pd.DataFrame, x: str, y: Sequence[str], colour: str, mean: bool) -> None:
    """Curves of one colour.

    Args:
        axes: to draw in.
        cells: runs.
        x: distance or proxy score; see `experiments.CURVE_AXES`.
        y: scores; of the first, single runs and standard errors are shown.
        colour: of all lines.
        mean: the runs are repeats: a mean at each step, over thin lines of the single runs; otherwise a line per run,
            gold with a band of one standard error over prompts.
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
        for line in lines:
            axes.plot(*line, color=colour, **style(name))
    if "gold" in y and not mean:
        for curve in curves:
            _band(axes, curve, values_along(curve, x), colour)


def frame_curves(axes: Axes, cells: pd.DataFrame, x: str, y: Sequence[str]) -> None:
    """Limits of a panel of curves: from 0 on, and high enough for all scores but a proxy that runs away."""
    axes.axhline(0, color="#9aa0ac", linewidth=0.8, zorder=1)
    axes.set_xlim(0, 1.03 * max(_all(cells, x).max(), 1e-6))
    rest = [name for name in y if name != "proxy"]
    if rest and len(rest) < len(y):
        values = np.concatenate([_all(cells, name) for name in rest])
        low, high = min(float(values.min()), 0.0), float(values.max())
        high = max(high, min(float(_all(cells, "proxy").max()), low + (high - low) / _GOLD_SHARE))
        margin = 0.05 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)


def draw_dots(axes: Axes, cells: pd.DataFrame, x: str, y: str, colour: str, joined: bool) -> None:
    """A dot per run; joined through the means at each x, which may be a word that `scale_dots` has given a place."""
    places = axes.convert_xunits(cells[x])
    axes.plot(places, cells[y], "o", color=colour, markersize=4.5, markeredgecolor="white", markeredgewidth=0.6)
    if joined:
        means = cells[y].groupby(places).mean()
        axes.plot(means.index, means, color=colour, linewidth=1.5)


def limit_ticks(axes: Axes, most: int) -> None:
    """At most so many ticks on each axis."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))


def scale_dots(axes: Axes, table: pd.DataFrame, x: str, y: str, option: bool) -> None:
    """Scales that fit the names: a place for each word, a tick at each value of an option that has a log scale.

    Args:
        axes: without anything drawn yet.
        table: every run of the figure.
        x, y: what is drawn.
        option: x is an option.
    """
    values = in_order(table[x].dropna())
    if not pd.api.types.is_numeric_dtype(table[x]):
        axes.xaxis.update_units([str(value) for value in values])
        axes.set_xticks(range(len(values)), [value_label(value) for value in values])
    elif option and x in _LOGARITHMIC:
        said = dict(zip(table[x], table["rm_size"], strict=True)) if x == "rm_params" and "rm_size" in table else {}
        smallest = min((value for value in values if value > 0), default=1)
        axes.set_xscale("symlog", linthresh=smallest, linscale=0.5) if min(values) <= 0 else axes.set_xscale("log")
        axes.set_xticks(values, [said.get(each, value_label(each)) for each in values])
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


def _band(axes: Axes, curve: Curve, x_S: Array | None, colour: str) -> None:
    if x_S is not None and curve.gold_SP.shape[1] > 1:
        se_S = curve.gold_SP.std(axis=1, ddof=1) / np.sqrt(curve.gold_SP.shape[1])
        low_S, high_S = curve.gold_S - se_S, curve.gold_S + se_S
        axes.fill_between(x_S, low_S, high_S, color=colour, alpha=0.15, linewidth=0)


def _all(cells: pd.DataFrame, name: str) -> Array:
    found = [values for curve in cells[CURVE_COLUMN] if (values := values_along(curve, name)) is not None]
    return np.concatenate(found) if found else np.zeros(1)
