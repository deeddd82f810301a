"""Cells of a log as numbers: what is missing, what is a number, and what must not pass for one."""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np
import pandas as pd

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.report.logs.log import Log
from mlproject.worlds.files.rows import MISSING

INFINITE = 1.7e308
"""Numbers of at least this size are infinite: MLflow's SQL store keeps infinity as the largest float."""

_DECIMAL_COMMA = re.compile(r"\s*[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+([eE][+-]?\d+)?\s*")
_THOUSANDS = re.compile(r"\s*[+-]?\d{1,3}(,\d{3})+\s*")


def numbers(log: Log, column: str, source: str) -> Array:
    """A column as numbers; nan where nothing was logged. Infinities pass, since they may lie at steps without use.

    Args:
        log: the log.
        column: one of its columns.
        source: the option and its value, for messages.

    Raises:
        UserError: one line that names the first cell that is no number: a word, a truth value, a date.
    """
    values = log.table[column]
    if isinstance(values, pd.DataFrame):
        raise UserError(f"{source}: has {values.shape[1]} columns called {column}. Give each its own name.")
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        if pd.api.types.is_complex_dtype(values):
            _refuse(log, column, 0, values.iloc[0], source)
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    if not (pd.api.types.is_object_dtype(values) or pd.api.types.is_string_dtype(values)):
        present = np.flatnonzero(values.notna().to_numpy())
        if present.size:
            _refuse(log, column, int(present[0]), values.iloc[int(present[0])], source)
        return np.full(len(values), np.nan)
    cells = values.tolist()
    has_commas = _has_decimal_commas(cells, log, column, source)
    result = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if cell is None or cell is pd.NA:
            continue
        if isinstance(cell, str):
            if cell.strip().casefold() in MISSING:
                continue
            text = cell.replace(".", "").replace(",", ".") if has_commas and "," in cell else cell
            try:
                result[row] = float(text) if "_" not in text else _refuse(log, column, row, cell, source)
            except ValueError:
                _refuse(log, column, row, cell, source)
        elif isinstance(cell, bool | np.bool_) or not isinstance(cell, int | float | Decimal | np.number):
            _refuse(log, column, row, cell, source)
        else:
            try:
                result[row] = float(cell)
            except OverflowError:  # an integer of hundreds of digits
                result[row] = np.inf if cell > 0 else -np.inf
    return result


def _has_decimal_commas(cells: list[object], log: Log, column: str, source: str) -> bool:
    """Whether commas in a column's numbers are decimal points.

    Raises:
        UserError: if they may as well separate thousands.
    """
    texts = [cell for cell in cells if isinstance(cell, str) and "," in cell]
    if not texts or not all(_DECIMAL_COMMA.fullmatch(text) for text in texts):
        return False
    is_sure = log.decimal_comma or any(re.match(r"\s*[+-]?0,", text) for text in texts)
    if not is_sure and all(_THOUSANDS.fullmatch(text) for text in texts):
        raise UserError(
            f"{source}: column {column}: {texts[0].strip()!r} has a comma that may be a decimal one or separate "
            "thousands. Write numbers with a point and without separators."
        )
    return True


def _refuse(log: Log, column: str, row: int, cell: object, source: str) -> float:
    if isinstance(cell, bool | np.bool_) or (isinstance(cell, str) and cell.strip().casefold() in ("true", "false")):
        what = "is a truth value; it must be a number"
    elif isinstance(cell, pd.Timestamp | pd.Timedelta | np.datetime64 | np.timedelta64):
        what = "is a date or a time span; it must be a number"
    else:
        what = "must be a finite number"
    shown = cell if isinstance(cell, str) else str(cell)
    shown = shown if len(shown) <= 40 else shown[:37] + "..."
    raise UserError(f"{source}: {log.place(row)}, column {column}: {shown!r} {what}. Correct the log or name another.")
