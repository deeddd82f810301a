"""Lists in the rows of a table: one item for each response of a prompt.

Axis letters: B responses, or rows of a table.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.samples.columns import Column, Kind, Table, column_of, lists_in
from mlproject.samples.roles import Finder
from mlproject.samples.texts import responses_of

_MOST = 0.5
"""Share of rows with other lengths from which on lists are no scores; in fewer rows it is a mistake."""


def rows_as_prompts(count: int) -> tuple[list[str], np.ndarray]:
    """Rows as prompts, where a table of one row for each prompt has no column of them."""
    return [f"row {index + 1}" for index in range(count)], np.arange(count)


def within_rows(row_B: np.ndarray, lengths_B: np.ndarray) -> np.ndarray:
    """Position of each sample among those of its row. Shape of `row_B`."""
    return np.arange(len(row_B)) - np.repeat(np.cumsum(lengths_B) - lengths_B, lengths_B)


def _mismatch(column: Column, lengths_B: np.ndarray) -> int | None:
    """The first row in which a list has another length than it must; a missing list has none."""
    wrong_B = (column.lengths_B != lengths_B) & (lengths_B > 0) & (column.lengths_B > 0)
    return int(wrong_B.argmax()) if wrong_B.any() else None


def filled(column: Column, lengths_B: np.ndarray) -> Array:
    """The items of a list column, nan where a row has no list."""
    values_B, both_B = np.full(int(lengths_B.sum()), np.nan), (column.lengths_B > 0) & (lengths_B > 0)
    values_B[np.repeat(both_B, lengths_B)] = column.values_B[np.repeat(both_B, column.lengths_B)]
    return values_B


def list_scores(
    table: Table, finder: Finder, lengths_B: np.ndarray, whose: str
) -> tuple[dict[str, Array], dict[str, str]]:
    """Lists of numbers as long as they must be, and the columns of numbers that are none, with the reason."""
    scores, left_out = {}, {}
    for column in finder.free(lambda each: each.is_scores):
        if column.kind is not Kind.NUMBERS:
            left_out[column.name] = "one value for each prompt"
        elif (column.lengths_B != lengths_B).mean() > _MOST:
            left_out[column.name] = f"its lists are not as long as {whose}"
        else:
            column = as_long(table, column, lengths_B)
            scores[column.name] = filled(column, lengths_B)
    return scores, left_out


def log_prob_lists(table: Table, column: Column, lengths_B: np.ndarray) -> Array:
    if column.kind is not Kind.NUMBERS:
        raise UserError(f"columns=logprob={column.name}: must hold a list of numbers in each row, not {column.kind}.")
    return filled(as_long(table, column, lengths_B), lengths_B)


def response_lists(table: Table, column: Column, lengths_B: np.ndarray) -> pa.Array:
    """The responses of all rows, one after another."""
    column = as_long(table, _listed(table, column), lengths_B)
    both_B = (column.lengths_B > 0) & (lengths_B > 0)
    items = responses_of(table, column).filter(pa.array(np.repeat(both_B, column.lengths_B)))
    if both_B.sum() == (lengths_B > 0).sum():
        return items
    position_B = np.repeat(both_B, lengths_B)
    index_B = np.cumsum(position_B) - 1
    return items.take(pa.array(index_B, mask=~position_B))


def _listed(table: Table, column: Column) -> Column:
    """A column of lists of texts, which may stand in the cells of a CSV file.

    Raises:
        UserError: if it holds none.
    """
    if column.text_kind is Kind.TEXT and (lists := lists_in(column.stored)) is not None:
        column = column_of(column.name, lists)
    if column.text_kind is not Kind.TEXTS:
        raise UserError(
            f"{table.source}: column {column.name} must hold a list of texts in each row, not {column.kind}. "
            "Give columns=response=COLUMN."
        )
    return column


def as_long(table: Table, column: Column, lengths_B: np.ndarray) -> Column:
    """The column itself.

    Raises:
        UserError: if a list is not as long as gold's.
    """
    if (row := _mismatch(column, lengths_B)) is None:
        return column
    raise UserError(
        f"{table.place(row)}: {column.name} has {column.lengths_B[row]} items and gold {lengths_B[row]}. Give every "
        "response its score, null where there is none."
    )
