"""What every kind of source is read as: rows in the order in which they were logged, with cells that may be missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd


def one_line(name: object) -> str:
    """The name of a column without line breaks and other control characters."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", str(name))


STEP = "step of logging"
"""Column of steps where the source has no rows, but metrics that carry their steps."""


@dataclass(frozen=True)
class Log:
    """A source that has been read.

    Attributes:
        name: of the source, for messages: a file, a folder, or a run.
        kind: what it was recognised as, for people ("a W&B chart export").
        table: a row for each time that something was logged; cells as they lie there, missing ones None, nan or "".
        step: column that certainly holds the step; None where it must be found by its name.
        lines: line of the file that each row came from; None where rows are counted. Shape: one per row.
        decimal_comma: whether a comma in a number is certainly a decimal one.
        notes: what was noticed while reading, one line each.
    """

    name: str
    kind: str
    table: pd.DataFrame
    step: str | None = None
    lines: Sequence[int] | None = None
    decimal_comma: bool = False
    notes: tuple[str, ...] = field(default=())

    def place(self, row: int) -> str:
        """Where a row is, for messages."""
        if self.step == STEP:
            return f"step {self.table[STEP].iloc[row]:g}"
        return f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"


def log_of_series(
    name: str, kind: str, series: Mapping[str, Sequence[tuple[int, float]]], notes: tuple[str, ...] = ()
) -> Log:
    """A log of metrics that were each logged at their own steps.

    Args:
        name, kind, notes: as for `Log`.
        series: (step, value) in the order of logging, by metric. Of a step that was logged twice the later value counts
            (`mlproject.report.logs.join`).
    """
    columns = {}
    for metric, pairs in series.items():
        steps, values = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
        times_before = pd.Series(steps).groupby(steps).cumcount()  # a later one lies in a later row
        columns[one_line(metric)] = pd.Series(
            values, index=pd.MultiIndex.from_arrays([times_before, steps]), dtype=np.float64
        )
    table = pd.DataFrame(columns).sort_index()
    table.insert(0, STEP, table.index.get_level_values(1) if len(table) else [])
    return Log(name, kind, table.reset_index(drop=True), step=STEP, notes=notes)
