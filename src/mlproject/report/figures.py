"""The figures of a study (after Gao et al. 2022, figures 1 and 3): from a report to matplotlib figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlproject.laws.forms import FORMS
from mlproject.laws.weighted import LawPeak
from mlproject.names import ReportFigure
from mlproject.plotting import theme
from mlproject.plotting.timeline_figure import timeline_figure
from mlproject.report.comparison import comparison_of
from mlproject.report.comparison_figure import comparison_figure
from mlproject.report.curves import curves_figure, headline_figure, human_figure
from mlproject.report.recommended import laws_of
from mlproject.report.records import Report
from mlproject.report.selection import (
    extremes,
    groups_of,
    interval,
    method_name,
    methods,
    number,
    runs_of,
    sizes,
)
from mlproject.search.figures import peaks_figure as trial_peaks_figure
from mlproject.search.space import coefficient_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_DPI = 170


def coefficients_figure(report: Report) -> Figure:
    """Alpha and beta of the law over RM parameters, with 95 % intervals and trend lines."""
    shown = [method for method in methods(report) if groups_of(report, method)]
    gap = "  " if len(shown) < 3 else "\n"  # narrow panels have titles of two lines
    figure = theme.new_figure(theme.WIDTH, 5.8)
    panels = figure.subplots(2, len(shown), squeeze=False, sharex="col")
    for column, method in enumerate(shown):
        colour = theme.METHOD_COLOURS[column % len(theme.METHOD_COLOURS)]
        form = FORMS[groups_of(report, method)[0]["form"]]
        formula = form.formula.replace("a ", "α ").replace("b ", "β ").replace("-", "−").replace("^", "")
        for axes, coefficient in zip(panels[:, column], ("alpha", "beta"), strict=True):
            top = coefficient == "alpha"
            symbol = "α (initial slope)" if top else "β (downward curvature)"
            title = f"{method_name(method)}:{gap}R = {formula}" if top else ""
            theme.style_axes(axes, title, "" if top else "RM parameters (log scale)", "" if column else symbol)
            _coefficient(axes, report, method, coefficient, colour)
    return figure


def peaks_figure(report: Report) -> Figure:
    """Peak gold over RM parameters: measured with standard errors, fitted with 95 % intervals."""
    figure = theme.new_figure(theme.WIDTH, 4.7)
    grid = figure.add_gridspec(2, 1, height_ratios=[1, 0.08])
    axes = figure.add_subplot(grid[0])
    keys = []
    peaks = {key: peak for key, peak in laws_of(report).items() if not peak.withheld}
    for index, method in enumerate(methods(report)):
        style: theme.Style = {
            "color": theme.METHOD_COLOURS[index % len(theme.METHOD_COLOURS)],
            "marker": theme.MARKERS[index % len(theme.MARKERS)],
        }
        keys.append(theme.legend_entry(method_name(method), linewidth=1.6, **style))
        dodge = 1.05 ** (2 * index - len(methods(report)) + 1)  # keeps error bars apart
        groups = groups_of(report, method)
        points = [(g["rm_params"] * dodge, number(g.get("measured_peak_gold")), g) for g in groups]
        measured = [(x, y, number(g.get("measured_peak_gold_se")) or 0.0) for x, y, g in points if y is not None]
        if measured:
            x, y, se = np.array(measured).T
            axes.errorbar(x, y, yerr=se, markersize=6, linewidth=1.6, capsize=3, zorder=3, **style)
        for x_fit, _, group in points:
            if (method, group["rm_size"]) in peaks:
                _fitted_peak(axes, x_fit * 1.05, peaks[method, group["rm_size"]], style)
    theme.style_axes(axes, "", "RM parameters (log scale)", f"peak {report.gold}\n({report.gold} standard deviations)")
    theme.size_axis(axes, sizes(report))
    fitted = theme.legend_entry(
        "from the law, 95 % interval", marker="o", markerfacecolor="white", linewidth=0.9, color=theme.MUTED
    )
    theme.add_legends(figure.add_subplot(grid[1]), [("measured, ±1 SE over prompts:", [*keys, fitted])])
    return figure


def search_figure(report: Report) -> Figure:
    """Peak gold of the search's trials by their coefficient, a colour per RM size; pruned trials as crosses."""
    trials, coefficient = _scored(report), coefficient_of(report.trials)
    assert coefficient is not None, "trials without one are not drawn"
    tried = {trial["rm_size"]: 0 for trial in trials}
    colours = {name: colour for name, colour in theme.size_colours(tried | sizes(report)).items() if name in tried}
    return trial_peaks_figure(trials, colours, coefficient)


def study_figures(report: Report) -> dict[str, Callable[[], Figure]]:
    """Functions that draw the figures for which the report has data.

    Returns:
        by name: `headline`, `curves-<method>`, `human-<method>`, `coefficients`, `peaks`, `comparison`, `search`,
            `timeline`.
    """
    draw: dict[str, Callable[[], Figure]] = {}
    if methods(report):
        draw[ReportFigure.HEADLINE] = lambda: headline_figure(report)
    for method in methods(report):
        draw[ReportFigure.CURVES_PREFIX + method] = lambda method=method: curves_figure(report, method)  # type: ignore[misc]
        shown = [run for _, size in extremes(report, method) for run in runs_of(report, method, size)]
        if any(run.curve.human_SP is not None for run in shown):
            draw[ReportFigure.HUMAN_PREFIX + method] = lambda method=method: human_figure(report, method)  # type: ignore[misc]
    groups = [group for method in methods(report) for group in groups_of(report, method) if report.knows_sizes]
    if any(number(group.get("alpha")) is not None for group in groups):
        draw[ReportFigure.COEFFICIENTS] = lambda: coefficients_figure(report)
    if any(number(group.get("measured_peak_gold")) is not None for group in groups):
        draw[ReportFigure.PEAKS] = lambda: peaks_figure(report)
    if comparison_of(report).pairs:
        draw[ReportFigure.COMPARISON] = lambda: comparison_figure(report)
    if _scored(report):
        draw[ReportFigure.SEARCH] = lambda: search_figure(report)
    if report.timeline and report.timeline["longest_chain"]["steps"]:
        draw[ReportFigure.TIMELINE] = lambda: timeline_figure(report.timeline)
    return draw


def save_figures(report: Report, folder: Path) -> dict[str, Path]:
    """Draw the figures of a study as PNG files.

    Args:
        report: the study.
        folder: where the files are written; created if needed.

    Returns:
        file by name, see `study_figures`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, draw in study_figures(report).items():
        paths[name] = folder / f"{name}.png"
        draw().savefig(paths[name], dpi=_DPI)
    return paths


def _coefficient(axes: Axes, report: Report, method: str, coefficient: str, colour: str) -> None:
    """One coefficient with intervals over RM parameters, and its trend line."""
    for group in groups_of(report, method):
        value, ends = number(group.get(coefficient)), interval(group.get(f"{coefficient}_ci"))
        law = laws_of(report).get((method, group["rm_size"]))
        opacity = theme.FAINT if law is not None and not law.fits else 1.0
        if value is not None:
            if ends:
                axes.plot([group["rm_params"]] * 2, ends, color=colour, linewidth=1.6, alpha=opacity)
            axes.plot([group["rm_params"]], [value], color=colour, marker="o", markersize=6, alpha=opacity)
    theme.size_axis(axes, sizes(report, method))
    for trend in report.laws.get("trends") or []:
        slope, intercept = number(trend.get("slope")), number(trend.get("intercept"))
        matches = trend["method"] == method and trend["coefficient"] == coefficient
        if matches and slope is not None and intercept is not None:
            x = np.array(axes.get_xlim())
            axes.plot(x, intercept + slope * np.log10(x), color=theme.MUTED, linewidth=1.2, linestyle="--")
            ends = interval(trend.get("slope_ci"))
            between = f"\n95 % [{ends[0]:+.3f}, {ends[1]:+.3f}]" if ends else ""
            text = f"slope {slope:+.3f} per tenfold{between}".replace("-", "−")
            y, vertical = (0.05, "bottom") if slope > 0 else (0.95, "top")
            place: theme.Style = {"transform": axes.transAxes, "ha": "right", "va": vertical}
            axes.text(0.97, y, text, fontsize=8.5, color=theme.MUTED, **place)


def _fitted_peak(axes: Axes, x: float, peak: LawPeak, style: Mapping[str, Any]) -> None:
    """Peak gold of the law with its interval, hollow."""
    axes.plot([x, x], peak.gold[1:], color=style["color"], linewidth=0.9, zorder=2)
    axes.plot([x], [peak.gold.value], markerfacecolor="white", markersize=5, zorder=3, **style)


def _scored(report: Report) -> list[Mapping[str, Any]]:
    """Trials that have a peak gold and a coefficient."""
    coefficient = coefficient_of(report.trials)
    return [t for t in report.trials if coefficient and number(t.get("peak_gold")) is not None]
