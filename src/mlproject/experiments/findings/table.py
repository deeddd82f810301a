"""The table of an experiment, as specified in its YAML file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mlproject.experiments.findings.evidence import mean_interval
from mlproject.experiments.findings.frame import check_columns, frame, groups, label, names
from mlproject.experiments.results import Result


def tabulate(result: Result, spec: Mapping[str, Any]) -> pd.DataFrame:
    """Means over the cells of a group (its seeds) with 95 % t-intervals.

    Args:
        result: the result to tabulate.
        spec: `rows`, `columns` (names of settings) and `values` (names of metrics).

    Returns:
        texts `mean ± half width`; only the mean for a single cell, empty for none. A metric that is equal in all
        columns gets one column.

    Raises:
        UserError: if no cell has a name, or a value is not a number.
    """
    table = frame(result)
    rows, columns, values = (names(spec.get(part)) for part in ("rows", "columns", "values"))
    check_columns(table, rows, "rows")
    check_columns(table, columns, "columns")
    check_columns(table, values, "values", numbers=True)
    in_rows, in_columns = list(groups(table, rows)), list(groups(table, columns))
    columns_by_title = {name: [_text(row[name]) for row, _ in in_rows] for name in rows}
    for value in values:
        texts = {
            f"{value} ({label(column)})" if column else value: [
                _mean(table.loc[row.index.intersection(cells.index), value]) for _, row in in_rows
            ]
            for column, cells in in_columns
        }
        first, *others = texts.values()
        columns_by_title |= {value: first} if others and all(each == first for each in others) else texts
    return pd.DataFrame(columns_by_title)


def escape(text: str) -> str:
    """A text escaped for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def to_markdown(table: pd.DataFrame) -> str:
    """A table in GitHub-flavoured Markdown."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(map(escape, cells)) + " |"

    rows = [[_text(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return "\n".join([line([str(name) for name in table]), "|" + "---|" * len(table.columns), *map(line, rows)])


def _mean(values: pd.Series) -> str:
    """Mean and half width, to two significant digits of the half width; three digits of a mean if all are equal."""
    mean = mean_interval(values)
    if math.isnan(mean.low):
        return "" if math.isnan(mean.value) else f"{mean.value:.3g}"
    half = mean.high - mean.value
    if half < 1e-6 * abs(mean.value) or half == 0:
        return f"{mean.value:.3g} ± 0"
    digits = max(0, 1 - math.floor(math.log10(half)))
    return f"{mean.value:.{digits}f} ± {half:.{digits}f}"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    return str(value)
