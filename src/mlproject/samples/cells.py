"""The cells of a column as one array, whatever they are."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa


def one_array(chunks: pa.ChunkedArray) -> pa.Array:
    """The cells of a table's column."""
    array = chunks.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # more than 2 GB of text stay in several pieces
        array = array.cast(pa.large_string()).combine_chunks()
    array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    kind = _computed(array.type)
    return array if kind == array.type else array.cast(kind)


def _computed(kind: pa.DataType) -> pa.DataType:
    """The type as which cells are computed with: Arrow knows little of half precision."""
    if pa.types.is_list(kind):
        return pa.list_(_computed(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_computed(kind.value_type))
    return pa.float32() if pa.types.is_float16(kind) else kind


def array_of(values: list[Any]) -> pa.Array:
    """Values of rows as one array; where they are of several kinds, as texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {bool, int, float} and kinds != {bool}:
        return pa.array([None if value is None else _float(value) for value in values], pa.float64())
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([None if value is None else _text(value) for value in values], pa.large_string())


def _float(value: float) -> float:
    """A number as a float; an integer that is too large is infinite, and so refused where it stands."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _text(value: Any) -> str:
    """A value as a text that Arrow takes; half a surrogate in it is written out."""
    return str(value).encode("utf-8", "backslashreplace").decode()
