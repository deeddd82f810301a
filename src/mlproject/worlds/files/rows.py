"""Rows of a user's own file: JSONL, JSON, CSV, TSV, Parquet, plain text, or a folder that `datasets` saved.

What is wrong with a row is said with file, line and field; on request such rows are left out, counted and listed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlproject.errors import UserError, first_line

FORMATS = ".jsonl, .json, .csv, .tsv, .parquet, .txt, or a folder saved by datasets"

csv.field_size_limit(1 << 30)


@dataclass
class BadLines:
    """What is wrong in a file: the first mistake ends the reading, or all are collected.

    Attributes:
        skip: whether a bad row is left out.
        found: one line for each row left out.
    """

    skip: bool = False
    found: list[str] = field(default_factory=list)

    def tell(self, place: str, what: str) -> None:
        """Note a mistake.

        Raises:
            UserError: unless bad rows are skipped.
        """
        if not self.skip:
            raise UserError(f"{place}: {what}; mend the row, or give bad_lines=skip")
        self.found.append(f"{place}: {what}")


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        place: file and line (or row), for messages.
        values: by field.
    """

    place: str
    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A field that must hold a text.

        Raises:
            ValueError: saying what it holds instead.
        """
        value = self.value(name)
        if not isinstance(value, str):
            raise ValueError(f"field {name}: holds {shown_kind(value)}; allowed is a text")
        return checked_text(name, value)

    def value(self, name: str) -> Any:
        """A field.

        Raises:
            ValueError: where there is none, or it is empty (null, nan).
        """
        if name not in self.values:
            raise ValueError(f"field {name}: missing; there are {', '.join(map(str, self.values)) or 'none'}")
        value = self.values[name]
        if value is None or value != value:
            raise ValueError(f"field {name}: is empty")
        return value


def checked_text(name: str, text: str) -> str:
    """The text itself.

    Raises:
        ValueError: where it cannot be written as UTF-8 (half of a surrogate pair), or holds a null character.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"field {name}: holds half a surrogate pair at character {error.start + 1}") from None
    if "\0" in text:
        raise ValueError(f"field {name}: holds a null character")
    return text


def read_rows(path: Path, given: str, bad: BadLines) -> Iterator[Row]:
    """The rows of a file, in order; blank lines are none.

    Args:
        path: of the file or folder.
        given: the option that named it.
        bad: told of rows that cannot be read.

    Raises:
        UserError: where the file as a whole cannot be read.
    """
    if not path.exists():
        raise UserError(f"{given}={path}: no such file or folder; allowed are {FORMATS}")
    read = _datasets if path.is_dir() else _READERS.get(path.suffix.lower())
    if read is None:
        raise UserError(f"{given}={path}: unknown kind {path.suffix or '(no ending)'}; allowed are {FORMATS}")
    try:
        yield from read(path, bad)
    except OSError as error:
        raise UserError(f"{given}={path}: cannot be read ({error.strerror or error})") from None


def _jsonl(path: Path, bad: BadLines) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            place = f"{path} line {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                bad.tell(place, f"is not UTF-8 text (byte {error.start + 1} of the line)")
                continue
            if text:
                yield from _row(place, text, bad)


def _row(place: str, text: str, bad: BadLines) -> Iterator[Row]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        bad.tell(place, f"is not JSON ({error.msg.lower()} at column {error.colno})")
    except RecursionError:
        bad.tell(place, "is nested too deeply")
    else:
        yield from _mapping(place, values, bad)


def _mapping(place: str, values: Any, bad: BadLines) -> Iterator[Row]:
    if isinstance(values, dict):
        yield Row(place, values)
    else:
        bad.tell(place, f"holds {shown_kind(values)}; allowed is an object with fields")


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} line {line}: is not UTF-8 text (byte {error.start + 1} of the file); save it as UTF-8"
        ) from None


def _json(path: Path, bad: BadLines) -> Iterator[Row]:
    text = _decoded(path)
    if not text.lstrip().startswith("["):
        yield from _jsonl(path, bad)
        return
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path} line {error.lineno}: is not JSON ({error.msg.lower()}); mend the file") from None
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply; mend the file") from None
    for number, values in enumerate(rows, 1):
        yield from _mapping(f"{path} item {number}", values, bad)


def _table(separator: str) -> Callable[[Path, BadLines], Iterator[Row]]:
    def read(path: Path, bad: BadLines) -> Iterator[Row]:
        lines = csv.reader(io.StringIO(_decoded(path), newline=""), delimiter=separator, strict=True)
        try:
            header = next(lines, None)
            if not header:
                raise UserError(f"{path}: has no header; its first line must name the fields")
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise UserError(f"{path} line 1: names field {twice} twice; rename one")
            for values in lines:
                place = f"{path} line {lines.line_num}"
                if values and len(values) != len(header):
                    bad.tell(place, f"has {len(values)} fields, the header {len(header)}")
                elif values:
                    yield Row(place, dict(zip(header, values, strict=True)))
        except csv.Error as error:
            raise UserError(f"{path} line {lines.line_num}: is not CSV ({error}); mend the file") from None

    return read


def _parquet(path: Path, bad: BadLines) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise UserError(f"{path}: is not Parquet ({first_line(error)}); write the file anew") from None
    for number, values in enumerate(rows, 1):
        yield Row(f"{path} row {number}", values)


def _text(path: Path, bad: BadLines) -> Iterator[Row]:
    for number, line in enumerate(_decoded(path).split("\n"), 1):
        if line.strip():
            yield Row(f"{path} line {number}", {"prompt": line.removesuffix("\r")})


def _datasets(path: Path, bad: BadLines) -> Iterator[Row]:
    import datasets

    datasets.disable_progress_bars()
    try:
        saved = datasets.load_from_disk(str(path))
    except (FileNotFoundError, ValueError, OSError) as error:
        raise UserError(f"{path}: is no folder saved by datasets ({first_line(error)})") from None
    if isinstance(saved, datasets.DatasetDict):
        if "train" not in saved and len(saved) > 1:
            raise UserError(f"{path}: holds the splits {', '.join(saved)}, none called train; save the one you mean")
        saved = saved["train"] if "train" in saved else next(iter(saved.values()))
    for number, values in enumerate(saved, 1):
        yield Row(f"{path} row {number}", values)


def shown_kind(value: Any) -> str:
    """What a value is, for messages to people."""
    kinds = {
        str: "a text",
        dict: "an object",
        list: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    if value is None:
        return "nothing"
    return kinds.get(type(value), f"a {type(value).__name__}")


_READERS: Mapping[str, Callable[[Path, BadLines], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".parquet": _parquet,
    ".txt": _text,
}
