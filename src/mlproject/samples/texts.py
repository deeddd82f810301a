"""Prompts and responses of a table of samples: texts, messages or ids.

Axis letters: B rows of a table, or items of its lists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlproject.errors import UserError
from mlproject.samples.columns import Column, Kind, Table
from mlproject.worlds.files.messages import checked_messages, turns_of
from mlproject.worlds.files.schemas.schema import conversation_prompt, response_of


def keys_of(table: Table, column: Column) -> tuple[list[str], np.ndarray]:
    """The distinct prompts, and the index of each row's prompt, -1 where the cell is empty. Shape of the second: (B,).

    Raises:
        UserError: for messages that are no prompt.
    """
    if column.kind is Kind.MESSAGES:
        texts = _each(table, column, lambda value: conversation_prompt(column.name, value))
    elif column.text_kind is Kind.TEXT:
        is_blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column.stored)), 0)
        texts = pc.if_else(is_blank, None, column.stored)
    elif column.kind in (Kind.NUMBER, Kind.TRUTH):
        texts = _as_texts(column)
    else:
        raise UserError(f"columns=prompt={column.name}: must hold texts, messages or ids, not {column.kind}.")
    return _encoded(texts)


def with_input(table: Table, column: Column) -> Column:
    """An instruction with its `input` after a blank line, where the table has both (as Alpaca's); else the column."""
    given = table.columns.get("input")
    if column.name != "instruction" or given is None or given.text_kind is not Kind.TEXT:
        return column
    text, after = (each.stored.cast(pa.large_string()).fill_null("") for each in (column, given))
    has_input = pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(after)), 0)
    joined = pc.binary_join_element_wise(text, after, pa.scalar("\n\n", pa.large_string()))
    return Column(column.name, Kind.TEXT, pc.if_else(has_input, joined, text), column.values_B, column.lengths_B)


def responses_of(table: Table, column: Column) -> pa.Array:
    """The texts of responses, or of the items of a list of responses. Shape: (B,).

    Raises:
        UserError: for messages that are no response.
    """
    if column.text_kind is Kind.TEXT:
        return column.stored.cast(pa.large_string())
    if column.kind in (Kind.NUMBER, Kind.TRUTH, Kind.EMPTY):
        return _as_texts(column)
    if column.text_kind is Kind.TEXTS:
        items = column.items()
        if pa.types.is_string(items.type) or pa.types.is_large_string(items.type):
            return items.cast(pa.large_string())
        row_B = np.repeat(np.arange(len(column.lengths_B)), column.lengths_B)
        return _each(table, column, lambda value: _response(column.name, value), items, row_B)
    if column.kind is Kind.MESSAGES:
        return _each(table, column, lambda value: _response(column.name, value))
    raise UserError(f"columns=response={column.name}: must hold texts or messages, not {column.kind}.")


def split_conversations(table: Table, column: Column) -> tuple[list[str], np.ndarray, pa.Array | None]:
    """Whole conversations as prompts and, where they end with the assistant's turn, responses; see `keys_of`.

    Raises:
        UserError: for messages that are no conversation.
    """
    prompts, prompt_B = keys_of(table, column)
    texts = _each(table, column, lambda value: _last_answer(column.name, value))
    return prompts, prompt_B, None if texts.null_count == len(texts) else texts


def _last_answer(name: str, value: Any) -> str | None:
    last = checked_messages(name, value)[-1]
    return last["content"] if last["role"] == "assistant" else None


def _response(name: str, value: Any) -> str:
    turns = turns_of(name, value)
    if isinstance(turns, list) and len(turns) > 1 and turns[-1]["role"] == "assistant":
        return turns[-1]["content"]  # a whole conversation
    return response_of(name, turns)


def _each(
    table: Table,
    column: Column,
    convert: Callable[[Any], str | None],
    values: pa.Array | None = None,
    row_B: np.ndarray | None = None,
) -> pa.Array:
    """A conversion of every value, those that repeat once."""
    converted: dict[str, str | None] = {}
    texts: list[str | None] = []
    for index, value in enumerate((column.stored if values is None else values).to_pylist()):
        key = repr(value)
        if value is not None and key not in converted:
            try:
                converted[key] = convert(value)
            except ValueError as error:
                place = table.place(index if row_B is None else int(row_B[index]))
                raise UserError(f"{place}: {error}. Correct the row.") from None
        texts.append(None if value is None else converted[key])
    return pa.array(texts, pa.large_string())


def _as_texts(column: Column) -> pa.Array:
    """Ids as texts: whole numbers without a decimal point."""
    stored = column.stored
    if pa.types.is_floating(stored.type):
        whole = pc.all(pc.equal(stored, pc.round(stored))).as_py()
        stored = stored.cast(pa.int64()) if whole else stored
    return stored.cast(pa.large_string())


def _encoded(texts: pa.Array) -> tuple[list[str], np.ndarray]:
    encoded = pc.dictionary_encode(texts)
    codes_B = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary.to_pylist(), codes_B
