"""The columns of a table of samples: numbers, texts and conversations, one for each row or a list of them.

Axis letters: B rows of a table, or items of its lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlproject.curve import Array
from mlproject.errors import UserError, first_line
from mlproject.samples.cells import array_of, one_array
from mlproject.samples.numbered import pack
from mlproject.worlds.files.messages import list_or_object
from mlproject.worlds.files.rows import MISSING, InvalidRows, Row
from mlproject.worlds.files.sources import read_table_or_rows

_TRUTHS = {"true": 1.0, "false": 0.0}
_LOOKED_AT = 100
"""Cells whose texts decide whether a column of texts holds numbers."""


class Kind(StrEnum):
    """What a column holds in each row."""

    NUMBER = "a number"
    TRUTH = "true or false"
    TEXT = "a text"
    MESSAGES = "messages"
    NUMBERS = "a list of numbers"
    TEXTS = "a list of texts"
    EMPTY = "nothing"
    OTHER = "something else"


@dataclass(frozen=True, eq=False)
class Column:
    """A column of the table.

    Attributes:
        name: as the file has it; of a field of an object, `column.field`.
        kind: what each row holds.
        stored: the values as they are stored.
        values_B: of `NUMBER` and `TRUTH`, the values; of `NUMBERS`, the items of all lists one after another. nan
            where there is none. Otherwise empty.
        lengths_B: of a list, its number of items in each row; 0 for a row without one. Otherwise empty.
    """

    name: str
    kind: Kind
    stored: pa.Array
    values_B: Array
    lengths_B: np.ndarray

    @property
    def is_scores(self) -> bool:
        """Whether it holds numbers, one for each row or a list of them."""
        return self.kind in (Kind.NUMBER, Kind.TRUTH, Kind.NUMBERS)

    @property
    def text_kind(self) -> Kind:
        """What it holds where texts are wanted: texts also where all of them spell numbers."""
        stored = self.stored.type
        if _is_text(stored):
            return Kind.TEXT
        return Kind.TEXTS if _is_list(stored) and _is_text(stored.value_type) else self.kind

    def items(self) -> pa.Array:
        """The items of a list column, one after another."""
        return pc.list_flatten(self.stored)

    def is_missing_B(self) -> np.ndarray:
        """Rows whose cell is empty. Shape: (B,)."""
        return pc.is_null(self.stored).to_numpy(zero_copy_only=False)


@dataclass(frozen=True)
class Table:
    """A file's columns, in order.

    Attributes:
        source: the option and its value, for messages.
        columns: by name.
        rows: number of rows.
        place: of a row, for messages.
        skipped: number of invalid rows that were skipped.
    """

    source: str
    columns: dict[str, Column]
    rows: int
    place: Callable[[int], str]
    skipped: int = 0


def read_table(path: Path, invalid: InvalidRows, option: str = "samples") -> Table:
    """Read a table of samples.

    Args:
        path: file or folder.
        invalid: what becomes of rows that cannot be read.
        option: name of the option that gives the path, for messages.

    Raises:
        UserError: if the file, or one of its rows, cannot be read, or there is no row.
    """
    source = f"{option}={path}"
    content = read_table_or_rows(path, option)
    if isinstance(content, pa.Table):
        if len(set(content.column_names)) < len(content.column_names):
            raise UserError(f"{source}: must name each column once. Rename one.")
        try:
            stored = {name: one_array(content.column(name)) for name in content.column_names}
        except pa.ArrowInvalid as error:  # lists of more than 2 GB of text
            raise UserError(
                f"{source}: must hold columns of at most 2 GB ({first_line(error)}). Split the table."
            ) from None
        count, place = content.num_rows, _numbered(path)
    else:
        rows = _valid(content, invalid)
        names = dict.fromkeys(name for row in rows for name in row.values)
        stored = {str(name): array_of([row.values.get(name) for row in rows]) for name in names}
        count, place = len(rows), lambda index: rows[index].place
    if not count:
        raise UserError(f"{source}: has no rows. Give a table with one row for each response, or for each prompt.")
    stored = pack(stored)
    columns = {each.name: each for name, array in stored.items() for each in _columns_of(name, array)}
    return Table(source, columns, count, place, len(invalid.skipped))


def _numbered(path: Path) -> Callable[[int], str]:
    return lambda index: f"{path} row {index + 1}"


def _valid(rows: Sequence[Row], invalid: InvalidRows) -> list[Row]:
    for row in rows:
        if row.problem:
            invalid.report(row.place, row.problem)
    return [row for row in rows if not row.problem]


def _columns_of(name: str, array: pa.Array) -> Iterator[Column]:
    """The column itself, or those of the fields of its objects, unless these are messages."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if _is_list(kind):
        array = _as_large_list(array)
        item = array.type.value_type
        if pa.types.is_struct(item) and not _are_messages(item):
            for index in range(item.num_fields):
                values = pc.struct_field(array.values, [index])
                fields = pa.LargeListArray.from_arrays(_offsets(array), values)
                yield from _columns_of(f"{name}.{item.field(index).name}", fields)
            return
    elif pa.types.is_struct(kind) and not _are_messages(kind):
        for index in range(kind.num_fields):
            yield from _columns_of(f"{name}.{kind.field(index).name}", pc.struct_field(array, [index]))
        return
    yield column_of(name, array)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _as_large_list(array: pa.Array) -> pa.LargeListArray:
    return array.cast(pa.large_list(array.type.value_type))


def _offsets(array: pa.LargeListArray) -> pa.Array:
    """Offsets of the lists, missing where a row has none."""
    is_missing = np.append(pc.is_null(array).to_numpy(zero_copy_only=False), False)
    return pa.array(array.offsets.to_numpy(), mask=is_missing)


def _are_messages(kind: pa.StructType) -> bool:
    names = {kind.field(index).name for index in range(kind.num_fields)}
    return {"role", "content"} <= names or {"from", "value"} <= names or names == {"messages"}


def column_of(name: str, array: pa.Array) -> Column:
    """Find out what a column holds."""
    none, kind = np.empty(0), array.type
    if pa.types.is_null(kind):
        return Column(name, Kind.EMPTY, array, none, none)
    if pa.types.is_boolean(kind):
        return Column(name, Kind.TRUTH, array, _floats(array.cast(pa.int8())), none)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Column(name, Kind.NUMBER, array, _floats(array), none)
    if _is_text(kind):
        return _of_texts(name, array)
    if _is_list(kind):
        return _of_lists(name, _as_large_list(array))
    return Column(name, Kind.MESSAGES if pa.types.is_struct(kind) else Kind.OTHER, array, none, none)


def _floats(array: pa.Array) -> Array:
    if len(array) and pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    return array.to_numpy(zero_copy_only=False).astype(np.float64)


def _of_texts(name: str, array: pa.Array) -> Column:
    """Texts, or the numbers, truth values or lists of numbers that all of them spell."""
    none, first = np.empty(0), array.drop_null()[:_LOOKED_AT]
    if _numbers_in(first) is not None and (values_B := _numbers_in(array)) is not None:
        if np.isnan(values_B).all():
            return Column(name, Kind.EMPTY, array, none, none)
        truths = set(map(str.lower, pc.unique(first).to_pylist())) - MISSING <= set(_TRUTHS)
        return Column(name, Kind.TRUTH if truths else Kind.NUMBER, array, values_B, none)
    if _is_numbers(first) and (lists := lists_in(array)) is not None:
        column = column_of(name, lists)
        if column.kind is Kind.NUMBERS:
            return Column(name, Kind.NUMBERS, array, column.values_B, column.lengths_B)
    return Column(name, Kind.TEXT, array, none, none)


def _numbers_in(array: pa.Array) -> Array | None:
    """The numbers that all texts spell, nan where a text stands for none; None if one is something else."""
    texts = pc.utf8_lower(pc.utf8_trim_whitespace(array))
    texts = pc.if_else(pc.is_in(texts, pa.array(sorted(MISSING), texts.type)), None, texts)
    for text, value in _TRUTHS.items():
        texts = pc.if_else(pc.equal(texts, text), str(value), texts)
    try:
        return _floats(texts.cast(pa.float64()))
    except pa.ArrowInvalid:
        return None


def _is_numbers(first: pa.Array) -> bool:
    """Whether the first text spells a list of numbers."""
    value = list_or_object(first[0].as_py()) if len(first) else None
    if not isinstance(value, list) or not value:
        return False
    return all(item is None or isinstance(item, int | float) for item in value)


def lists_in(array: pa.Array) -> pa.Array | None:
    """The lists that all texts spell, as JSON or in Python's notation; None if one is something else."""
    first = array.drop_null()
    if not len(first) or not first[0].as_py().lstrip().startswith("["):
        return None
    values = [None if text is None or not text.strip() else list_or_object(text) for text in array.to_pylist()]
    if not all(value is None or isinstance(value, list) for value in values) or not any(values):
        return None
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None


def _of_lists(name: str, array: pa.LargeListArray) -> Column:
    none, item = np.empty(0), array.type.value_type
    lengths_B = _floats(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    if pa.types.is_struct(item):
        return Column(name, Kind.MESSAGES, array, none, lengths_B)
    if _is_list(item) and len(array):  # [[1.5], [0.2]]: each score in a list of its own
        inner_array = _as_large_list(pc.list_flatten(array))
        if pc.all(pc.equal(pc.list_value_length(inner_array), 1)).as_py():
            return _of_lists(name, pa.LargeListArray.from_arrays(_offsets(array), pc.list_flatten(inner_array)))
    inner = column_of(name, pc.list_flatten(array))
    if inner.kind in (Kind.NUMBER, Kind.TRUTH):
        return Column(name, Kind.NUMBERS, array, inner.values_B, lengths_B)
    is_texts = inner.kind is Kind.TEXT or (inner.kind is Kind.MESSAGES and not pa.types.is_null(item))
    return Column(name, Kind.TEXTS if is_texts else Kind.OTHER, array, none, lengths_B)
