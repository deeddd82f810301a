"""The kinds of files that rows are read from: JSONL, JSON, CSV, TSV, Parquet, Arrow, text, folders of `datasets`."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlproject.errors import UserError, first_line
from mlproject.options.paths import is_there
from mlproject.strict_json import repeated_key
from mlproject.worlds.files.rows import Row, kind_of
from mlproject.worlds.files.shards import shards
from mlproject.worlds.files.stored_tables import (
    LARGEST,
    MOST_ROWS,
    TABLE_ENDINGS,
    joined,
    rows_of_table,
    saved_dataset,
    stored_table,
    too_large,
)

if TYPE_CHECKING:
    import pyarrow

FORMATS = (
    ".jsonl, .json, .csv, .tsv, .txt (each may be .gz), .parquet, .arrow, .feather, a folder of such parts of one "
    "table, or a folder saved by datasets"
)
ROW_KEYS = (
    "data", "rows", "train", "dataset", "examples", "instances", "items", "records", "samples", "entries",
    "comparisons", "preferences", "pairs", "prompts", "results",
)  # fmt: skip
"""Keys under which a JSON object may hold the rows."""

csv.field_size_limit(1 << 30)


def read_rows(path: Path, option: str) -> list[Row]:
    """The rows of a file, in order; blank lines are skipped. A row that cannot be read has a `problem` and no values.

    Args:
        path: path of the file or folder.
        option: name of the option that gives the path, for error messages.

    Raises:
        UserError: if the file as a whole cannot be read.
    """
    _check_is_there(path, option)
    read = _datasets if path.is_dir() else _reader(path)
    if read is None:
        raise UserError(f"{option}={path}: must be {FORMATS}. Convert the file or rename it.")
    try:
        rows = list(islice(read(path), MOST_ROWS + 1))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{option}={path}: must be a whole gzip file ({error}). Compress the file again.") from None
    except OSError as error:
        raise _unreadable(path, option, error) from None
    if len(rows) > MOST_ROWS:
        raise too_large(path)
    return rows


def read_table_or_rows(path: Path, option: str) -> pyarrow.Table | list[Row]:
    """The table of a file that holds one by columns, which may be large; the rows of any other file.

    Args:
        path, option: see `read_rows`.

    Raises:
        UserError: if the file as a whole cannot be read.
    """
    _check_is_there(path, option)
    try:
        is_of_texts = path.is_dir() and not shards(path, TABLE_ENDINGS) and shards(path, _TEXT_ENDINGS)
        table = None if is_of_texts else stored_table(path)
    except OSError as error:
        raise _unreadable(path, option, error) from None
    return read_rows(path, option) if table is None else table


def _unreadable(path: Path, option: str, error: OSError) -> UserError:
    return UserError(
        f"{option}={path}: must be a file that can be read ({error.strerror or first_line(error)}). Check it."
    )


def _check_is_there(path: Path, option: str) -> None:
    if not is_there(path):
        raise UserError(f"{option}={path}: must be an existing file or folder ({FORMATS}). Correct the path.")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (name := repeated_key(pairs)) is not None:
        raise ValueError(f"it has the field {name[:40]!r} twice")
    return dict(pairs)


def _reader(path: Path) -> Callable[[Path], Iterator[Row]] | None:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return _TEXT_READERS.get(Path(path.stem).suffix.lower())
    return _TEXT_READERS.get(suffix) or _BINARY_READERS.get(suffix)


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _jsonl(path: Path) -> Iterator[Row]:
    with _open(path) as file:
        read = 0
        for number, line in enumerate(iter(lambda: file.readline(LARGEST), b""), 1):
            read += len(line)
            if read > LARGEST:
                raise too_large(path)
            place = f"{path} line {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                yield Row(place, {}, f"must be UTF-8 text (byte {error.start + 1} of the line is not)")
                continue
            if text:
                yield _row(place, text)


def _row(place: str, text: str) -> Row:
    try:
        return _mapping(place, json.loads(text, object_pairs_hook=_without_repeats))
    except json.JSONDecodeError as error:
        return Row(place, {}, f"must be JSON ({error.msg.lower()} at column {error.colno})")
    except RecursionError:
        return Row(place, {}, "must not be nested so deeply")
    except ValueError as error:  # a number of more than 4,300 digits, a field that is there twice
        return Row(place, {}, f"must be JSON ({first_line(error)})")


def _mapping(place: str, values: Any) -> Row:
    if isinstance(values, dict):
        return Row(place, values)
    return Row(place, {}, f"must be an object with fields, not {kind_of(values)}")


def _decoded(path: Path) -> str:
    with _open(path) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise too_large(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} line {line}: must be UTF-8 text (byte {error.start + 1} of the file is not). Save it as UTF-8."
        ) from None


def _json(path: Path) -> Iterator[Row]:
    """An array of rows, an object with the rows under a key, or JSONL with the wrong ending."""
    text = _decoded(path)
    try:
        content = json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        is_array = text.lstrip().startswith("[")
        if not is_array and (error.lineno == 1 or error.msg == "Extra data"):
            yield from _jsonl(path)
            return
        raise UserError(f"{path} line {error.lineno}: must be JSON ({error.msg.lower()}). Fix the file.") from None
    except RecursionError:
        raise UserError(f"{path}: must not be nested so deeply. Fix the file.") from None
    except ValueError as error:
        raise UserError(f"{path}: must be JSON ({first_line(error)}). Fix the file.") from None
    for number, values in enumerate(content if isinstance(content, list) else _rows_of(content), 1):
        yield _mapping(f"{path} item {number}", values)


def _rows_of(content: Any) -> list[Any]:
    """The rows of a JSON object: a list of objects under a key of `ROW_KEYS`, or the object itself as the one row."""
    for key in ROW_KEYS if isinstance(content, dict) else ():
        rows = content.get(key)
        if isinstance(rows, list) and any(isinstance(row, dict) for row in rows):
            if all(isinstance(row, dict) and isinstance(row.get("row"), dict) for row in rows):
                return [row["row"] for row in rows]  # as the hub's server of rows answers
            return rows
    return _by_columns(content) if isinstance(content, dict) else [content]


def _by_columns(content: dict[str, Any]) -> list[Any]:
    """The rows of an object that holds a table by columns, as pandas writes it: lists of one length, or objects whose
    keys are row numbers. Any other object is the one row itself."""
    columns = list(content.values())
    if columns and all(isinstance(column, dict) and column for column in columns):
        numbers = list(columns[0])
        if all(number.isdecimal() for number in numbers) and all(list(column) == numbers for column in columns):
            columns = [list(column.values()) for column in columns]
    are_lists = columns and all(isinstance(column, list) and column for column in columns)
    if are_lists and len({len(column) for column in columns}) == 1 and not any(map(_has_messages, columns)):
        return [dict(zip(content, values, strict=True)) for values in zip(*columns, strict=True)]
    return [content]


def _has_messages(column: list[Any]) -> bool:
    return any(isinstance(item, dict) and {"role", "from"} & set(item) for item in column)


def _table(separator: str) -> Callable[[Path], Iterator[Row]]:
    def read(path: Path) -> Iterator[Row]:
        text = _decoded(path)
        first = text.partition("\n")[0]
        found = separator
        if separator == "," and "," not in first:
            found = next((mark for mark in ";\t" if mark in first), separator)
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=found, strict=True)
        try:
            header = next(lines, None)
            if not header:
                raise UserError(f"{path}: must start with a line that names the fields. Add a header.")
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise UserError(f"{path} line 1: must name each field once, but names {twice} twice. Rename one.")
            for values in lines:
                place = f"{path} line {lines.line_num}"
                if values and len(values) != len(header):
                    yield Row(place, {}, f"must have the {len(header)} fields of the header, not {len(values)}")
                elif values:
                    yield Row(place, dict(zip(header, values, strict=True)))
        except csv.Error as error:
            raise UserError(f"{path} line {lines.line_num}: must be CSV ({error}). Fix the file.") from None

    return read


def _by_column(path: Path) -> Iterator[Row]:
    """The rows of a file that holds a table by columns."""
    table = stored_table(path)
    assert table is not None, "the ending says that it is one"
    yield from _numbered(path, rows_of_table(path, table))


def _text(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_decoded(path).split("\n"), 1):
        if line.strip():
            yield Row(f"{path} line {number}", {"prompt": line.removesuffix("\r")})


def _datasets(path: Path) -> Iterator[Row]:
    if parts := shards(path, TABLE_ENDINGS):
        yield from _numbered(path, rows_of_table(path, joined(path, parts)))
    elif parts := shards(path, _TEXT_ENDINGS):
        for part in parts:
            if (read := _reader(part)) is not None:
                yield from read(part)
    else:
        yield from _numbered(path, saved_dataset(path))


def _numbered(path: Path, rows: Any) -> Iterator[Row]:
    for number, values in enumerate(rows, 1):
        yield Row(f"{path} row {number}", values)


_TEXT_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".txt": _text,
}
_TEXT_ENDINGS = (*_TEXT_READERS, ".gz")
_BINARY_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = dict.fromkeys(TABLE_ENDINGS, _by_column)
