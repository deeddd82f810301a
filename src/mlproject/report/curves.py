"""Gold, proxy and law over sqrt(KL), as in Gao et al. 2022, figure 1; gold beside human judgement.

Axis letters: S curve points, P prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlproject.curve import Curve
from mlproject.laws.forms import FORMS
from mlproject.plotting import theme
from mlproject.plotting.curve_figure import plot_gold_band, score_limits
from mlproject.recommendation.stop import Progress, Stop
from mlproject.report.recommended import laws_of, stops_of
from mlproject.report.records import Report
from mlproject.report.selection import (
    extremes,
    groups_of,
    method_name,
    methods,
    number,
    runs_of,
    sizes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HUMAN_LINE: Mapping[str, Any] = {
    "color": theme.HUMAN_COLOUR,
    "linestyle": (0, (4, 1.5, 1, 1.5)),
    "linewidth": 1.5,
}


_MARK: theme.Style = {"markeredgecolor": "white", "markersize": 8, "linestyle": "none"}
_ON_TOP: theme.Style = {"zorder": 5, "clip_on": False}
_STOP, _STOP_KL, _NOT_REACHED = "o", "^", ">"
"""Markers: where to stop on every curve; the KL of that on the axis; the end, where the peak was not reached."""


def curves_figure(report: Report, method: str) -> Figure:
    """Gold, proxy and fitted law of a method over sqrt(KL), a colour per RM size."""
    return _curves(report, [method], theme.WIDTH, 5.9)


def headline_figure(report: Report) -> Figure:
    """The same for the first two methods, side by side: best-of-n and PPO if the study has them."""
    return _curves(report, methods(report)[:2], 12.6, 5.6)


def human_figure(report: Report, method: str) -> Figure:
    """Gold and human judgement over sqrt(KL), for the smallest and the largest RM of a method."""
    roles, colours = extremes(report, method), theme.size_colours(sizes(report))
    figure = theme.new_figure(theme.WIDTH, 4.1)
    grid = figure.add_gridspec(2, len(roles), height_ratios=[1, 0.09])
    panels: list[Axes] = []
    for column, (role, rm_size) in enumerate(roles):
        first = panels[0] if panels else None
        axes = figure.add_subplot(grid[0, column], sharex=first, sharey=first)
        panels.append(axes)
        for run in runs_of(report, method, rm_size):
            axes.plot(run.curve.sqrt_kl_S, run.curve.gold_S, color=colours[rm_size], **theme.GOLD_LINE)
            if run.curve.human_S is not None:
                axes.plot(run.curve.sqrt_kl_S, run.curve.human_S, **_HUMAN_LINE)
        axes.axhline(0, color="#9aa0ac", linewidth=0.8)
        axes.set_xlim(left=0)
        title = f"{method_name(method)}, {role} RM ({rm_size})"
        theme.style_axes(axes, title, "$\\sqrt{\\mathrm{KL}}$ (square-root nats)", "" if column else _score(report))
    golds = [theme.legend_entry(f"{report.gold}, {size} RM", color=colours[size]) for _, size in roles]
    theme.add_legends(
        figure.add_subplot(grid[1, :]), [("", [*golds, theme.legend_entry("human judgement", **_HUMAN_LINE)])]
    )
    return figure


def _score(report: Report) -> str:
    return f"score above the initial policy\n({report.gold} standard deviations)"


def _curves(report: Report, shown: list[str], width: float, height: float) -> Figure:
    """Panels of curves, one per method, above legends of RM sizes and of line styles."""
    colours = theme.size_colours(sizes(report))
    figure = theme.new_figure(width, height)
    grid = figure.add_gridspec(2, max(len(shown), 1), height_ratios=[1, 0.13])
    for column, method in enumerate(shown):
        axes = figure.add_subplot(grid[0, column])
        _curve_panel(axes, report, method, colours)
        theme.style_axes(axes, method_name(method), theme.SQRT_KL_LABEL, "" if column else _score(report))
        theme.kl_axis(axes)
    drawn = {size for method in shown for size in sizes(report, method)}
    keys = [theme.legend_entry(name, color=colour, linewidth=4) for name, colour in colours.items() if name in drawn]
    stops = [stop for (method, _), stop in stops_of(report).items() if method in shown]
    styles = [
        theme.legend_entry(f"{report.gold} ±1 SE, per seed", **theme.GOLD_LINE),
        theme.legend_entry("proxy", **theme.PROXY_LINE),
        theme.legend_entry("law (faint: does not fit)", **theme.LAW_LINE),
    ]
    if any(stop.progress is Progress.PEAKED for stop in stops):
        styles += [theme.legend_entry(name, marker=m, **_MARK) for name, m in (("stop", _STOP), ("its KL", _STOP_KL))]
    if any(stop.progress is Progress.NOT_REACHED for stop in stops):
        styles.append(theme.legend_entry("peak not reached", marker=_NOT_REACHED, **_MARK))
    theme.add_legends(figure.add_subplot(grid[1, :]), [("RM size:" if report.knows_sizes else "", keys), ("", styles)])
    return figure


def _curve_panel(axes: Axes, report: Report, method: str, colours: Mapping[str, str]) -> None:
    """Gold, proxy, law and stop for every RM size of a method; x in square-root nats."""
    runs, laws, stops = runs_of(report, method), laws_of(report), stops_of(report)
    for run in runs:
        d_S, gold_S, colour = run.curve.sqrt_kl_S, run.curve.gold_S, colours[run.rm_size]
        axes.plot(d_S, run.curve.proxy_S, color=colour, **theme.PROXY_LINE)
        plot_gold_band(axes, run.curve, d_S, colour)
        axes.plot(d_S, gold_S, color=colour, **theme.GOLD_LINE)
    low, high = score_limits([run.curve.gold_S for run in runs], [run.curve.proxy_S for run in runs])
    axes.set_ylim(low, high)
    axes.set_xlim(0, 1.03 * max(float(run.curve.sqrt_kl_S.max()) for run in runs) or 1.0)
    axes.axhline(0, color="#9aa0ac", linewidth=0.8, zorder=1)
    for group in groups_of(report, method):
        law = laws.get((method, group["rm_size"]))
        _law(axes, group, fits=law is not None and law.fits)
    for rm_size in sizes(report, method):
        if (stop := stops.get((method, rm_size))) and stop.is_recommended:
            _stop(axes, stop, [run.curve for run in runs if run.rm_size == rm_size], colours[rm_size], low)


def _stop(axes: Axes, stop: Stop, curves: Sequence[Curve], colour: str, floor: float) -> None:
    """The stop that is recommended: on the curve of every seed, and its KL on the x axis."""
    not_reached = stop.progress is Progress.NOT_REACHED
    for curve in curves:
        at = np.flatnonzero(curve.steps_S == stop.advised_step)
        marker = _NOT_REACHED if not_reached else _STOP
        axes.plot(curve.sqrt_kl_S[at], curve.gold_S[at], color=colour, marker=marker, **_MARK, **_ON_TOP)
    if not not_reached:
        d_stop = np.sqrt(max(stop.kl, 0.0))
        axes.plot([d_stop, d_stop], [floor, 0.0], color=colour, linewidth=0.7, alpha=0.6, zorder=1)
        axes.plot([d_stop], [floor], color=colour, marker=_STOP_KL, **_MARK, **_ON_TOP)


def _law(axes: Axes, group: Mapping[str, Any], fits: bool) -> None:
    """The law over the range it was fitted on, faint where it does not fit."""
    coef = [number(group.get("alpha")), number(group.get("beta"))]
    low, high = number(group.get("min_d")), number(group.get("max_d"))
    form = FORMS[group["form"]]
    coef = coef[: form.columns(np.ones(1)).shape[-1]]
    if None not in coef and high is not None:
        d = np.linspace(low or 0.0, high, 200)
        axes.plot(d, form.value(d, np.array(coef)), **theme.LAW_LINE | {"alpha": 1.0 if fits else theme.FAINT})
