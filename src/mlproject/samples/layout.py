"""The forms that a table of samples has, each read as one list of samples: long, wide, best-of-k.

- long: one row for each response;
- wide: one row for each prompt, with lists of responses and of scores;
- best-of-k: one row for each prompt, with right (`chosen`) and wrong (`rejected`) responses, as in RewardBench 2; gold
  is 1 and 0.

Axis letters: B responses, or rows of a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.samples.columns import Column, Kind, Table, column_of, lists_in
from mlproject.samples.roles import (
    Finder,
    find_gold,
    find_logprob,
    find_prompt,
    find_response,
    response_beside,
    texts_by_repetition,
)
from mlproject.samples.texts import keys_of, responses_of, split_conversations, with_input

CHOSEN, REJECTED = "chosen", "rejected"
_MOST = 0.5
"""Share of rows with other lengths from which on lists are no scores; in fewer rows it is a mistake."""


@dataclass(frozen=True)
class Samples:
    """The samples of a table, in the order of the file, before anything is left out.

    Attributes:
        form: `long`, `wide` or `best-of-k`.
        says: which column was taken for what, by meaning.
        prompts: the distinct prompts, or their ids.
        prompt_B: index of each sample's prompt; -1 where the cell is empty. Shape: (B,).
        responses: their texts; None where the table has none.
        gold_B: gold, in the table's units; nan where missing. Shape: (B,).
        log_prob_B: nats; None where the table has none. Shape: (B,).
        scores: every other column that may hold scores, by name. Shape: (B,) each.
        row_B: row of the table. Shape: (B,).
        are_truths: those of the scores that are true or false.
        left_out: columns of numbers that cannot be scores, with the reason.
    """

    form: str
    says: Mapping[str, str]
    prompts: Sequence[str]
    prompt_B: np.ndarray
    responses: pa.Array | None
    gold_B: Array
    log_prob_B: Array | None
    scores: Mapping[str, Array]
    row_B: np.ndarray
    are_truths: frozenset[str] = frozenset()
    left_out: Mapping[str, str] = field(default_factory=dict)


def lay_out(table: Table, asked: Mapping[str, str]) -> Samples:
    """Read a table of any of the forms.

    Args:
        table: the table.
        asked: columns that the user named, by meaning.

    Raises:
        UserError: if a column is missing, may be several, or does not hold what it must.
    """
    finder = Finder(table, asked)
    sides = [table.columns.get(name) for name in (CHOSEN, REJECTED)]
    if "gold" not in asked and all(side and side.text_kind in (Kind.TEXT, Kind.TEXTS, Kind.MESSAGES) for side in sides):
        return _best_of_k(table, finder, *(side for side in sides if side))
    gold = find_gold(finder)
    return _wide(table, finder, gold) if gold.kind is Kind.NUMBERS else _long(table, finder, gold)


def _long(table: Table, finder: Finder, gold: Column) -> Samples:
    prompt = find_prompt(finder, table.rows)
    response = find_response(finder, (Kind.TEXT, Kind.MESSAGES))
    if prompt is None and response is None:
        prompt, response = texts_by_repetition(finder)
    if prompt is None:
        raise finder.refusal("prompt")
    if prompt.kind is Kind.MESSAGES and response is None:
        prompts, prompt_B, responses = split_conversations(table, prompt)
    else:
        prompts, prompt_B = keys_of(table, with_input(table, prompt))
        response = response or response_beside(finder, prompt)
        responses = None if response is None else responses_of(table, response)
    logprob = find_logprob(finder, lambda each: each.kind is Kind.NUMBER)
    others = finder.free(lambda each: each.is_scores)
    return Samples(
        form="long",
        says=_says(prompt, response, gold, logprob),
        prompts=prompts,
        prompt_B=prompt_B,
        responses=responses,
        gold_B=gold.values_B,
        log_prob_B=None if logprob is None else _numbers(logprob),
        scores={each.name: each.values_B for each in others if each.kind is not Kind.NUMBERS},
        row_B=np.arange(table.rows),
        are_truths=frozenset(each.name for each in others if each.kind is Kind.TRUTH),
        left_out={each.name: "a list for each response" for each in others if each.kind is Kind.NUMBERS},
    )


def _numbers(column: Column) -> Array:
    if column.kind is not Kind.NUMBER:
        raise UserError(f"columns=logprob={column.name}: must hold one number for each response, not {column.kind}.")
    return column.values_B


def _wide(table: Table, finder: Finder, gold: Column) -> Samples:
    prompt = find_prompt(finder, table.rows + 1)
    response = find_response(finder, (Kind.TEXTS,)) or finder.by_kind(lambda each: each.kind is Kind.TEXTS)
    response = response or find_response(finder, (Kind.TEXT,))  # a list in the cell of a CSV file
    prompt = prompt or finder.by_kind(lambda each: each.kind in (Kind.TEXT, Kind.MESSAGES))
    lengths_B = gold.lengths_B
    row_B = np.repeat(np.arange(table.rows), lengths_B)
    prompts, key_B = _rows(table.rows) if prompt is None else keys_of(table, with_input(table, prompt))
    logprob = find_logprob(finder, lambda each: each.kind is Kind.NUMBERS)
    scores, left_out = _list_scores(table, finder, lengths_B, "gold's")
    responses = None if response is None else _response_lists(table, response, lengths_B)
    return Samples(
        form="wide",
        says=_says(prompt, response, gold, logprob),
        prompts=prompts,
        prompt_B=key_B[row_B],
        responses=responses,
        gold_B=gold.values_B,
        log_prob_B=None if logprob is None else _log_prob_lists(table, logprob, lengths_B),
        scores=scores,
        row_B=row_B,
        left_out=left_out,
    )


def _best_of_k(table: Table, finder: Finder, chosen: Column, rejected: Column) -> Samples:
    finder.taken |= {chosen.name, rejected.name}
    prompt = find_prompt(finder, table.rows + 1)
    texts = [_side(table, side) for side in (chosen, rejected)]
    right_B, wrong_B = (column.lengths_B for column in texts)
    lengths_B = right_B + wrong_B
    row_B = np.repeat(np.arange(table.rows), lengths_B)
    is_right_B = _within(row_B, lengths_B) < np.repeat(right_B, lengths_B)
    order_B = np.empty(len(row_B), dtype=np.int64)  # position of each sample in all chosen, then all rejected
    order_B[is_right_B] = np.arange(right_B.sum())
    order_B[~is_right_B] = right_B.sum() + np.arange(wrong_B.sum())
    scores = {}
    for name in [each.name for each in finder.free(lambda each: each.is_scores and CHOSEN in each.name)]:
        other = name.replace(CHOSEN, REJECTED)
        if other in table.columns and table.columns[other].is_scores:
            pair = [_side_scores(table, name, right_B), _side_scores(table, other, wrong_B)]
            scores[name.replace(CHOSEN, "").strip(" _-./") or "score"] = np.concatenate(pair)[order_B]
            finder.taken |= {name, other}
    lists, left_out = _list_scores(table, finder, lengths_B, "chosen and rejected together")
    prompts, key_B = _rows(table.rows) if prompt is None else keys_of(table, with_input(table, prompt))
    return Samples(
        form="best-of-k",
        says={**_says(prompt, None, None, None), "gold": f"1 for {chosen.name}, 0 for {rejected.name}"},
        prompts=[prompts[key] if key >= 0 else "" for key in key_B],  # each row is a question of its own
        prompt_B=np.where(key_B >= 0, np.arange(table.rows), -1)[row_B],
        responses=pa.concat_arrays([column.stored for column in texts]).take(pa.array(order_B)),
        gold_B=is_right_B.astype(np.float64),
        log_prob_B=None,
        scores={**scores, **lists},
        row_B=row_B,
        left_out=left_out,
    )


def _says(
    prompt: Column | None, response: Column | None, gold: Column | None, logprob: Column | None
) -> dict[str, str]:
    columns = {"prompt": prompt, "response": response, "gold": gold, "logprob": logprob}
    return {meaning: column.name for meaning, column in columns.items() if column is not None}


def _rows(count: int) -> tuple[list[str], np.ndarray]:
    """Rows as prompts, where a table of one row for each prompt has no column of them."""
    return [f"row {index + 1}" for index in range(count)], np.arange(count)


def _within(row_B: np.ndarray, lengths_B: np.ndarray) -> np.ndarray:
    """Position of each sample among those of its row. Shape of `row_B`."""
    return np.arange(len(row_B)) - np.repeat(np.cumsum(lengths_B) - lengths_B, lengths_B)


def _mismatch(column: Column, lengths_B: np.ndarray) -> int | None:
    """The first row in which a list has another length than it must; a missing list has none."""
    wrong_B = (column.lengths_B != lengths_B) & (lengths_B > 0) & (column.lengths_B > 0)
    return int(wrong_B.argmax()) if wrong_B.any() else None


def _filled(column: Column, lengths_B: np.ndarray) -> Array:
    """The items of a list column, nan where a row has no list."""
    values_B, both_B = np.full(int(lengths_B.sum()), np.nan), (column.lengths_B > 0) & (lengths_B > 0)
    values_B[np.repeat(both_B, lengths_B)] = column.values_B[np.repeat(both_B, column.lengths_B)]
    return values_B


def _list_scores(
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
            column = _as_long(table, column, lengths_B)
            scores[column.name] = _filled(column, lengths_B)
    return scores, left_out


def _log_prob_lists(table: Table, column: Column, lengths_B: np.ndarray) -> Array:
    if column.kind is not Kind.NUMBERS:
        raise UserError(f"columns=logprob={column.name}: must hold a list of numbers in each row, not {column.kind}.")
    return _filled(_as_long(table, column, lengths_B), lengths_B)


def _response_lists(table: Table, column: Column, lengths_B: np.ndarray) -> pa.Array:
    """The responses of all rows, one after another."""
    column = _as_long(table, _listed(table, column), lengths_B)
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


def _as_long(table: Table, column: Column, lengths_B: np.ndarray) -> Column:
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


def _side(table: Table, column: Column) -> Column:
    """Chosen or rejected responses as lists, also where there is one of each."""
    if column.text_kind is Kind.TEXT and (lists := lists_in(column.stored)) is not None:
        column = column_of(column.name, lists)
    if column.text_kind is Kind.TEXTS:
        texts = responses_of(table, column)
        return Column(column.name, Kind.TEXTS, texts, column.values_B, column.lengths_B)
    is_there_B = ~column.is_missing_B()
    texts = responses_of(table, column).filter(pa.array(is_there_B))
    return Column(column.name, Kind.TEXTS, texts, column.values_B, is_there_B.astype(np.int64))


def _side_scores(table: Table, name: str, lengths_B: np.ndarray) -> Array:
    """Scores of the chosen or the rejected responses, one after another.

    Raises:
        UserError: if a row has not one for each.
    """
    column = table.columns[name]
    if column.kind is Kind.NUMBERS:
        return _filled(_as_long(table, column, lengths_B), lengths_B)
    if (lengths_B > 1).any():
        row = int((lengths_B > 1).argmax())
        raise UserError(f"{table.place(row)}: {name} is one number for {lengths_B[row]} responses. Give a list.")
    return column.values_B[lengths_B > 0]
