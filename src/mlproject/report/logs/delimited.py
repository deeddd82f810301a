"""Tables: CSV and its kin with any usual delimiter, Parquet; W&B's exports and TensorBoard's among them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd

from mlproject.errors import UserError, first_line
from mlproject.report.logs.columns import CHART_SEPARATOR
from mlproject.report.logs.log import Log, one_line
from mlproject.worlds.files.rows import MISSING

DELIMITERS = ",;\t|"
SCALAR_COLUMNS = {"Wall time", "Step", "Value"}
_SPREAD = ("__MIN", "__MAX")
"""Endings of the columns that a W&B chart export has beside a line's own: the spread of the values behind a point."""


def read_delimited(name: str, text: str, source: str) -> Log:
    """Read a table from text.

    Args:
        name: of the file, for messages.
        text: its content.
        source: the option and its value, for messages.

    Raises:
        UserError: one line: no header, or a row that has not as many fields as the header.
    """
    if text.startswith("sep="):  # Excel's own first line
        text = text.partition("\n")[2]
    header_line = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=lambda character: _outside_quotes(header_line).count(character))
    content = text.encode()
    header, lines, notes = _field_counts(content, delimiter, source)
    try:
        table = _cells(content, delimiter, len(header), len(lines))
    except ValueError as error:  # pandas is stricter than the standard library, on quotes that do not end for example
        raise UserError(f"{source}: cannot be read ({first_line(error)}). Give a table.") from None
    table.columns = pd.Index(header)
    decimal_comma = delimiter in ";\t" and _has_comma_numbers(table)
    if delimiter != "," and not (delimiter == "\t" and name.endswith("tsv")):
        kind = {";": "semicolons", "\t": "tabs", "|": "bars"}[delimiter]
        notes.append(f"read with {kind} between fields" + (" and decimal commas" if decimal_comma else ""))
    return recognised(name, table, lines, notes, decimal_comma)


def _cells(content: bytes, delimiter: str, columns: int, rows: int) -> pd.DataFrame:
    """The cells below the header: numbers where a column has nothing else, otherwise texts."""
    return pd.read_csv(
        io.BytesIO(content),
        sep=delimiter,
        header=0,
        names=range(columns),
        usecols=range(columns),
        index_col=False,
        na_values=sorted(MISSING),
        low_memory=False,
        nrows=rows,
    )


def recognised(
    name: str, table: pd.DataFrame, lines: list[int] | None, notes: list[str], decimal_comma: bool = False
) -> Log:
    """A table as what its columns show it to be: an export of W&B or of TensorBoard, or any table."""
    names = [one_line(column) for column in table.columns]
    table = table.set_axis(names, axis="columns")
    if set(names) == SCALAR_COLUMNS:
        table = table.rename(columns={"Value": scalar_name(name)}).drop(columns="Wall time")
        return Log(name, "a TensorBoard scalar", table, "Step", lines, decimal_comma, tuple(notes))
    lines_of_chart = [column for column in names if CHART_SEPARATOR in column and not column.endswith(_SPREAD)]
    if lines_of_chart and any(f"{column}__MIN" in names for column in lines_of_chart):
        x = [column for column in names if CHART_SEPARATOR not in column]
        table = table[[column for column in table.columns if not str(column).endswith(_SPREAD)]]
        step = x[0] if len(x) == 1 else None
        return Log(name, "a W&B chart export", table, step, lines, decimal_comma, tuple(notes))
    is_history = "_step" in names and bool({"_runtime", "_timestamp"} & set(names))
    kind = "a W&B history export" if is_history else "a table"
    return Log(name, kind, table, None, lines, decimal_comma, tuple(notes))


def scalar_name(name: str) -> str:
    """The tag in the name of a TensorBoard download (`run-RUN-tag-TAG.csv`); otherwise the name of the file."""
    stem = Path(name).name.partition(".")[0]
    return stem.rpartition("-tag-")[2]


def _field_counts(content: bytes, delimiter: str, source: str) -> tuple[list[str], list[int], list[str]]:
    """Header, the line of every row, and notes."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline=""), delimiter=delimiter)
    notes: list[str] = []
    lines: list[int] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if not header or not any(header):
            raise UserError(f"{source}: has no header line. Give a table whose first line names the columns.")
        short: tuple[int, int] | None = None
        for row in reader:
            if not row:
                continue
            if short:
                break
            if len(row) < len(header):
                short = reader.line_num, len(row)
                continue
            if any(row[len(header) :]):
                raise _unequal(source, reader.line_num, len(row), len(header))
            lines.append(reader.line_num)
        else:
            if short:
                notes.append(f"the last line ({short[0]}) is cut short and left out")
                short = None
        if short:
            raise _unequal(source, *short, len(header))
    except csv.Error as error:
        raise UserError(f"{source}: line {reader.line_num} cannot be read ({error}). Give a table.") from None
    return header, lines, notes


def _unequal(source: str, line: int, fields: int, header: int) -> UserError:
    return UserError(
        f"{source}: line {line} has {fields} field{'s' * (fields != 1)}, the header {header}. Give every row as many."
    )


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])


def _has_comma_numbers(table: pd.DataFrame) -> bool:
    """Whether a number with a comma is among the first cells."""
    first = table.head(100).astype(str).apply(lambda cells: cells.str.fullmatch(r"\s*[+-]?\d+,\d+\s*"))
    return bool(first.to_numpy(dtype=bool).any())
