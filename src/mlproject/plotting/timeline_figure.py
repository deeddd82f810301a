"""A study as a Gantt chart: what each process did, and when the steps of each kind ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlproject.names import Kind
from mlproject.plotting import theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 6.4
"""Inches: narrower than other figures, since its words must be legible on a telephone."""

_ROW = 0.27
"""Inches."""

_WAIT = 0.12
"""Thickness of the line of a step that waits for a process."""


def group_of(row: Mapping[str, Any]) -> str:
    """The row of a step in the chart: its kind; of a policy run or audit, its method too."""
    kind = row["kind"].replace("-", " ")
    return {Kind.POLICY_RUN: row["method"], Kind.AUDIT: f"{Kind.AUDIT}, {row['method']}"}.get(row["kind"], kind)


def by_group(timeline: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the steps of each kind used, in the order in which the kinds began; kinds that were only reused at the end.

    Returns:
        rows with `group`, `executed` and `reused` (counts), `seconds` and `cpu_seconds` (sums), `waited` (the longest
        time between being ready and starting, seconds) and `peak_memory` (the largest, bytes); None where not known.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in timeline["steps"]:
        groups.setdefault(group_of(row), []).append(row)
    summaries = []
    for group, rows in groups.items():
        executed = [row for row in rows if not row["reused"]]
        known = [row for row in executed if row["cpu_seconds"] is not None]
        summaries.append(
            {
                "group": group,
                "executed": len(executed),
                "reused": len(rows) - len(executed),
                "seconds": sum(row["end"] - row["start"] for row in executed) if executed else None,
                "cpu_seconds": sum(row["cpu_seconds"] for row in known) if known else None,
                "waited": max(row["start"] - row["ready"] for row in known) if known else None,
                "peak_memory": max(row["peak_memory"] or 0 for row in known) if known else None,
            }
        )
    return summaries


def timeline_figure(timeline: Mapping[str, Any]) -> Figure:
    """Draw a timeline.

    Args:
        timeline: content of `timeline.json`; at least one step was executed.
    """
    executed = [row for row in timeline["steps"] if not row["reused"]]
    groups = [summary["group"] for summary in by_group(timeline)]
    palette = theme.CATEGORY_COLOURS
    colours = {group: palette[index % len(palette)] for index, group in enumerate(groups)}
    measured = [row for row in executed if row["cpu_seconds"] is not None]
    processes = list(dict.fromkeys(row["process"] for row in measured))
    heights = [max(1, len(processes)), len(groups)]
    figure = theme.new_figure(_WIDTH, 1.3 + _ROW * sum(heights))
    lanes, kinds = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    for row in measured:
        _bar(lanes, processes.index(row["process"]), row, colours[group_of(row)])
    for row in executed:
        place, colour = groups.index(group_of(row)), colours[group_of(row)]
        if row["cpu_seconds"] is None:
            kinds.plot([row["start"], row["end"]], [place, place], color=colour, linewidth=1.2, linestyle=":")
            continue
        if row["start"] - row["ready"] > 0:
            kinds.barh(place, row["start"] - row["ready"], left=row["ready"], height=_WAIT, color=theme.WAITING)
        _bar(kinds, place, row, colour)
    utilisation = f"{timeline['utilisation']:.0%} of {timeline['cores']} cores busy"
    theme.style_axes(lanes, f"{utilisation} during {timeline['seconds']:.0f} s")
    theme.style_axes(kinds, "", "seconds since the start (thin grey: ready, and waiting for a process)")
    _name_rows(lanes, [f"process {index + 1}" for index in range(len(processes))])
    _name_rows(kinds, [_label(summary) for summary in by_group(timeline)])
    kinds.set_xlim(0, timeline["seconds"])
    return figure


def _bar(axes: Axes, place: int, row: Mapping[str, Any], colour: str) -> None:
    seconds = row["end"] - row["start"]
    axes.barh(place, seconds, left=row["start"], height=0.7, color=colour, edgecolor="white", linewidth=0.5, zorder=3)


def _label(summary: Mapping[str, Any]) -> str:
    """Name and number of steps: executed ones, and those that were reused."""
    reused = f"{summary['reused']} reused" if summary["reused"] else ""
    counts = ", ".join(filter(None, [str(summary["executed"] or ""), reused]))
    return f"{summary['group']} ({counts})"


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Rows from top to bottom."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0, labelsize=10, labelcolor=theme.INK)
