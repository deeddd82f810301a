"""The figure of a comparison: how high gold comes with each reward model, and how far each is from the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlproject.plotting import theme
from mlproject.report.comparison import comparison_of
from mlproject.report.records import Report
from mlproject.report.selection import sizes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW = 0.42
"""Height of a row, inches."""
_LONGEST = 28
"""Letters of a name that a row shows."""


def comparison_figure(report: Report) -> Figure:
    """Highest gold of each reward model with 95 % intervals, and each one's distance from the first, paired."""
    comparison, colours = comparison_of(report), theme.size_colours(sizes(report))
    names = [each.evaluated.setting.rm for each in comparison.rms]
    figure = theme.new_figure(theme.WIDTH, 1.5 + _ROW * len(names))
    left, right = figure.subplots(1, 2, sharey=True)
    for row, each in enumerate(comparison.rms):
        low, high = each.evaluated.stop.gold_interval
        left.plot([low, high], [row, row], color=colours[names[row]], linewidth=2)
        left.plot([each.evaluated.stop.gold], [row], "o", color=colours[names[row]], markersize=7)
    for pair in comparison.pairs[: len(names) - 1]:
        row = names.index(pair.worse)
        colour = colours[pair.worse] if pair.is_told else theme.MUTED
        right.plot([-end for end in pair.interval], [row, row], color=colour, linewidth=2)
        right.plot([-pair.difference], [row], "o" if pair.is_told else "D", color=colour, markersize=6)
    right.plot([0], [0], "o", color=colours[names[0]], markersize=7)
    right.axvline(0, color="#9aa0ac", linewidth=0.8)
    theme.style_axes(left, "Highest gold", "gold standard deviations, 95 %")
    theme.style_axes(right, f"Less than {names[0][:_LONGEST]}", "paired over prompts, 95 % together")
    left.set_yticks(range(len(names)), [name[:_LONGEST] for name in names])
    left.set_ylim(len(names) - 0.5, -0.5)
    return figure
