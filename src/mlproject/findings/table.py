"""The table of an experiment, as its YAML file describes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlproject.archive import Result
from mlproject.findings.evidence import mean_interval
from mlproject.findings.frame import check_columns, frame, groups, label, names


def tabulate(result: Result, spec: Mapping[str, Any]) -> pd.DataFrame:
    """Means over the cells of a group (the seeds), each with its 95 % t-interval.

    Args:
        result: whose cells.
        spec: `rows`, `columns` (names of settings) and `values` (names of metrics).

    Returns:
        texts `mean ± half width`; the mean alone where there is a single cell.

    Raises:
        UserError: for a name that no cell has.
    """
    table = frame(result)
    rows, columns, values = (names(spec.get(part)) for part in ("rows", "columns", "values"))
    for part, given in (("rows", rows), ("columns", columns), ("values", values)):
        check_columns(table, given, part)
    lines = []
    for row, in_row in groups(table, rows):
        line: dict[str, Any] = {name: _text(value) for name, value in row.items()}
        for value in values:
            for column, cells in groups(table, columns):
                here = in_row.index.intersection(cells.index)
                title = f"{value} ({label(column)})" if column else value
                line[title] = _mean(table.loc[here, value].to_numpy(dtype=float)) if len(here) else ""
        lines.append(line)
    return pd.DataFrame(lines)


def to_markdown(table: pd.DataFrame) -> str:
    """A table in GitHub's Markdown."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rows = [[_text(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return "\n".join([line([str(name) for name in table]), "|" + "---|" * len(table.columns), *map(line, rows)])


def _mean(values: np.ndarray) -> str:
    found = mean_interval(values)
    if math.isnan(found.low):
        return "" if math.isnan(found.value) else f"{found.value:.3g}"
    half = found.high - found.value
    digits = max(0, min(3, 1 - math.floor(math.log10(half)))) if half > 0 else 3
    return f"{found.value:.{digits}f} ± {half:.{digits}f}"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    return str(value)
