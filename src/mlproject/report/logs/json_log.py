"""JSON and JSON Lines: logs of one object a line, `trainer_state.json`, and tables in the usual layouts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from mlproject.errors import UserError, first_line
from mlproject.report.logs.delimited import recognised
from mlproject.report.logs.log import Log, log_of_series
from mlproject.strict_json import repeated_key

LOG_HISTORY = "log_history"
"""Where transformers' `trainer_state.json` keeps what was logged."""

DEEPEST = 8
"""Levels of nested objects that are read as `outer/inner`."""


def read_json_lines(name: str, text: str, source: str) -> Log:
    """Read a log of one JSON object a line. A last line that is cut short is left out."""
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    notes: list[str] = []
    content = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    for number, line in content:
        try:
            row = _parse(line)
        except _InvalidJsonError as error:
            if number == content[-1][0] and rows:
                notes.append(f"the last line ({number}) is cut short and left out")
                break
            raise UserError(f"{source}: line {number} is not JSON ({error}). Give one object a line.") from None
        if not isinstance(row, dict):
            raise UserError(f"{source}: line {number} is {_kind(row)}; it must be an object. Give one object a line.")
        rows.append(_flat(row, f"{source}: line {number}"))
        lines.append(number)
    return _of_rows(name, "a JSON Lines log", rows, lines, notes)


def read_json(name: str, text: str, source: str) -> Log:
    """Read a JSON file in any of the layouts that hold a table, or fall back to JSON Lines."""
    try:
        content = _parse(text)
    except _InvalidJsonError as error:
        first, _, rest = text.strip().partition("\n")
        if rest.strip() and first.rstrip().endswith("}"):
            return read_json_lines(name, text, source)
        raise UserError(f"{source}: is not JSON ({error}). Give a log in JSON, or another file.") from None
    return _of_content(name, content, source)


def _of_content(name: str, content: Any, source: str) -> Log:
    if isinstance(content, list):
        if content and all(isinstance(row, dict) for row in content):
            rows = [_flat(row, f"{source}: row {number}") for number, row in enumerate(content, 1)]
            return _of_rows(name, "a JSON table", rows, None, [])
        if content and all(isinstance(row, list) and len(row) == 3 for row in content):  # TensorBoard's download
            table = pd.DataFrame(content, columns=["Wall time", "Step", "Value"])
            return recognised(name, table, None, [])
    if isinstance(content, dict):
        if isinstance(content.get(LOG_HISTORY), list):
            log = _of_content(name, content[LOG_HISTORY], source)
            return Log(name, "a trainer_state.json", log.table, log.step, None, False, log.notes)
        if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
            width = len(content["columns"])
            if all(isinstance(row, list) and len(row) == width for row in content["data"]):
                return recognised(name, pd.DataFrame(content["data"], columns=content["columns"]), None, [])
        if series := _series(content):
            return log_of_series(name, "a JSON log of one series a metric", series)
        columns = {key: list(value.values()) if isinstance(value, dict) else value for key, value in content.items()}
        lengths = {len(value) if isinstance(value, list) else -1 for value in columns.values()}
        if len(lengths) == 1 and min(lengths) > 0:
            cells = [cell for value in columns.values() for cell in value]
            if not any(isinstance(cell, list | dict) for cell in cells):
                return recognised(name, pd.DataFrame(columns), None, [])
        tables = [key for key, value in content.items() if isinstance(value, list | dict) and value]
        if len(tables) == 1:
            return _of_content(name, content[tables[0]], source)
    raise UserError(
        f"{source}: is {_kind(content)} without a table. "
        "Give a list of objects, an object of columns, or one object a line."
    )


def _series(content: Mapping[str, Any]) -> dict[str, list[tuple[int, float]]]:
    """Metrics as lists of points of their own, {"kl": [{"step": 0, "value": 0.1}, ...]}; empty for another layout."""
    series = {}
    for metric, points in content.items():
        if not isinstance(points, list) or not points or not all(isinstance(point, dict) for point in points):
            return {}
        if not all({"step", "value"} <= set(point) for point in points):
            return {}
        series[metric] = [(point["step"], point["value"]) for point in points]
        if not all(type(number) in (int, float) for pair in series[metric] for number in pair):
            return {}
    return series


def _of_rows(name: str, kind: str, rows: list[dict[str, Any]], lines: list[int] | None, notes: list[str]) -> Log:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = pd.DataFrame({column: _cells(row.get(column) for row in rows) for column in columns})
    log = recognised(name, table, lines, notes)
    return log if log.kind != "a table" else Log(name, kind, table, log.step, lines, False, log.notes)


def _cells(cells: Iterable[Any]) -> pd.Series:
    """Cells as they are: pandas would make 1.0 of true and dates of texts."""
    return pd.Series(list(cells), dtype=object)


def _flat(row: Mapping[str, Any], place: str, prefix: str = "", depth: int = 1) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            if depth == DEEPEST:
                raise UserError(f"{place} has objects within objects, deeper than {DEEPEST}. Give a flat log.")
            flat |= _flat(value, place, f"{prefix}{key}/", depth + 1)
        elif not isinstance(value, list):  # a histogram, a table: no metric
            flat[f"{prefix}{key}"] = value
    return flat


class _InvalidJsonError(ValueError):
    """One line: why a text is not JSON."""


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_int=_whole)
    except _InvalidJsonError:
        raise
    except RecursionError:
        raise _InvalidJsonError("nested too deeply") from None
    except ValueError as error:
        raise _InvalidJsonError(first_line(error)) from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (key := repeated_key(pairs)) is not None:
        raise _InvalidJsonError(f"the key {key!r} is given twice")
    return dict(pairs)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 300 else float(digits)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
