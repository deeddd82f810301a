"""Rows of a user's file: JSONL, JSON, CSV, TSV, Parquet, plain text, or a folder that `datasets` saved.

An error names file, line and field of an invalid row; `bad_lines=skip` skips invalid rows and lists them.
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
class InvalidRows:
    """What to do with the invalid rows of a file: stop at the first, or skip and list them.

    Attributes:
        skip: whether invalid rows are skipped.
        skipped: one line for each skipped row.
    """

    skip: bool = False
    skipped: list[str] = field(default_factory=list)

    def report(self, place: str, problem: str) -> None:
        """Report an invalid row.

        Args:
            place: file and line of the row.
            problem: what is wrong.

        Raises:
            UserError: unless invalid rows are skipped.
        """
        if not self.skip:
            raise UserError(f"{place}: {problem}. Fix the row or use bad_lines=skip.")
        self.skipped.append(f"{place}: {problem}")

    def summary(self) -> str:
        """A sentence about the skipped rows, with a leading space; empty if there are none."""
        if not self.skipped:
            return ""
        return f" {len(self.skipped)} invalid rows were skipped, the first: {self.skipped[0]}."


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        place: file and line (or row), for error messages.
        values: values by field.
    """

    place: str
    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """The value of a field that must be a text.

        Raises:
            ValueError: if it is no text; says what it is.
        """
        value = self.value(name)
        if not isinstance(value, str):
            raise ValueError(f"field {name} must be a text, not {kind_of(value)}")
        return checked_text(name, value)

    def value(self, name: str) -> Any:
        """The value of a field.

        Raises:
            ValueError: if the field is missing or empty (null, nan).
        """
        if name not in self.values:
            raise ValueError(f"field {name} is missing; the row has {', '.join(map(str, self.values)) or 'no fields'}")
        value = self.values[name]
        if value is None or value != value:
            raise ValueError(f"field {name} must not be empty")
        return value


def checked_text(name: str, text: str) -> str:
    """The text itself.

    Raises:
        ValueError: if it cannot be written as UTF-8 (half a surrogate pair) or contains a null character.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problem = f"field {name} must not contain half a surrogate pair (character {error.start + 1})"
        raise ValueError(problem) from None
    if "\0" in text:
        raise ValueError(f"field {name} must not contain a null character")
    return text


def read_rows(path: Path, option: str, invalid: InvalidRows) -> Iterator[Row]:
    """The rows of a file, in order; blank lines are skipped.

    Args:
        path: path of the file or folder.
        option: name of the option that gives the path, for error messages.
        invalid: collects the rows that cannot be read.

    Raises:
        UserError: if the file as a whole cannot be read.
    """
    if not path.exists():
        raise UserError(f"{option}={path}: must be an existing file or folder ({FORMATS}). Correct the path.")
    read = _datasets if path.is_dir() else _READERS.get(path.suffix.lower())
    if read is None:
        raise UserError(f"{option}={path}: must be {FORMATS}. Convert the file or rename it.")
    try:
        yield from read(path, invalid)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{option}={path}: must be a file that can be read ({reason}). Check it.") from None


def _jsonl(path: Path, invalid: InvalidRows) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            place = f"{path} line {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                invalid.report(place, f"must be UTF-8 text (byte {error.start + 1} of the line is not)")
                continue
            if text:
                yield from _row(place, text, invalid)


def _row(place: str, text: str, invalid: InvalidRows) -> Iterator[Row]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        invalid.report(place, f"must be JSON ({error.msg.lower()} at column {error.colno})")
    except RecursionError:
        invalid.report(place, "must not be nested so deeply")
    else:
        yield from _mapping(place, values, invalid)


def _mapping(place: str, values: Any, invalid: InvalidRows) -> Iterator[Row]:
    if isinstance(values, dict):
        yield Row(place, values)
    else:
        invalid.report(place, f"must be an object with fields, not {kind_of(values)}")


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} line {line}: must be UTF-8 text (byte {error.start + 1} of the file is not). Save it as UTF-8."
        ) from None


def _json(path: Path, invalid: InvalidRows) -> Iterator[Row]:
    text = _decoded(path)
    if not text.lstrip().startswith("["):
        yield from _jsonl(path, invalid)
        return
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path} line {error.lineno}: must be JSON ({error.msg.lower()}). Fix the file.") from None
    except RecursionError:
        raise UserError(f"{path}: must not be nested so deeply. Fix the file.") from None
    for number, values in enumerate(rows, 1):
        yield from _mapping(f"{path} item {number}", values, invalid)


def _table(separator: str) -> Callable[[Path, InvalidRows], Iterator[Row]]:
    def read(path: Path, invalid: InvalidRows) -> Iterator[Row]:
        lines = csv.reader(io.StringIO(_decoded(path), newline=""), delimiter=separator, strict=True)
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
                    invalid.report(place, f"must have the {len(header)} fields of the header, not {len(values)}")
                elif values:
                    yield Row(place, dict(zip(header, values, strict=True)))
        except csv.Error as error:
            raise UserError(f"{path} line {lines.line_num}: must be CSV ({error}). Fix the file.") from None

    return read


def _parquet(path: Path, invalid: InvalidRows) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise UserError(f"{path}: must be Parquet ({first_line(error)}). Write the file again.") from None
    for number, values in enumerate(rows, 1):
        yield Row(f"{path} row {number}", values)


def _text(path: Path, invalid: InvalidRows) -> Iterator[Row]:
    for number, line in enumerate(_decoded(path).split("\n"), 1):
        if line.strip():
            yield Row(f"{path} line {number}", {"prompt": line.removesuffix("\r")})


def _datasets(path: Path, invalid: InvalidRows) -> Iterator[Row]:
    import datasets

    datasets.disable_progress_bars()
    try:
        saved = datasets.load_from_disk(str(path))
    except (FileNotFoundError, ValueError, OSError) as error:
        reason = first_line(error)
        raise UserError(f"{path}: must be a folder saved by datasets ({reason}). Use save_to_disk.") from None
    if isinstance(saved, datasets.DatasetDict):
        if "train" not in saved and len(saved) > 1:
            raise UserError(f"{path}: must have a split train, not {', '.join(saved)}. Save the one that you mean.")
        saved = saved["train"] if "train" in saved else next(iter(saved.values()))
    for number, values in enumerate(saved, 1):
        yield Row(f"{path} row {number}", values)


def kind_of(value: Any) -> str:
    """The kind of a value, for error messages."""
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


_READERS: Mapping[str, Callable[[Path, InvalidRows], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".parquet": _parquet,
    ".txt": _text,
}
