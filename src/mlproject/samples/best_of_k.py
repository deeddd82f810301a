"""Best-of-k tables: right and wrong responses to each prompt, as RewardBench 2 publishes and its program writes them.

Axis letters: B responses, or rows of a table.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.samples.columns import Column, Kind, Table, column_of, lists_in
from mlproject.samples.lists import as_long, filled, list_scores, response_lists, rows_as_prompts, within_rows
from mlproject.samples.roles import Finder, find_prompt, find_response
from mlproject.samples.samples import Samples, says
from mlproject.samples.texts import keys_of, responses_of, with_input

CHOSEN, REJECTED = "chosen", "rejected"
NUM_CORRECT = "num_correct"
_RESULTS = "scores", "results", "text"
"""Columns of the results that RewardBench 2's own program writes."""


def best_of_k(table: Table, finder: Finder, chosen: Column, rejected: Column) -> Samples:
    finder.taken |= {chosen.name, rejected.name}
    prompt = find_prompt(finder, table.rows + 1)
    texts = [_side(table, side) for side in (chosen, rejected)]
    right_B, wrong_B = (column.lengths_B for column in texts)
    lengths_B = right_B + wrong_B
    row_B = np.repeat(np.arange(table.rows), lengths_B)
    is_right_B = within_rows(row_B, lengths_B) < np.repeat(right_B, lengths_B)
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
    lists, left_out = list_scores(table, finder, lengths_B, "chosen and rejected together")
    prompts, key_B = rows_as_prompts(table.rows) if prompt is None else keys_of(table, with_input(table, prompt))
    return Samples(
        form="best-of-k",
        says={**says(prompt, None, None, None), "gold": f"1 for {chosen.name}, 0 for {rejected.name}"},
        prompts=[prompts[key] if key >= 0 else "" for key in key_B],  # each row is a question of its own
        prompt_B=np.where(key_B >= 0, np.arange(table.rows), -1)[row_B],
        responses=pa.concat_arrays([column.stored for column in texts]).take(pa.array(order_B)),
        gold_B=is_right_B.astype(np.float64),
        log_prob_B=None,
        scores={**scores, **lists},
        row_B=row_B,
        left_out=left_out,
    )


def numbers_right(table: Table) -> np.ndarray | None:
    """How many responses of each row are right, where RewardBench 2's results say so; the right ones come first.

    Shape: (B,); None for any other table.
    """
    count = table.columns.get(NUM_CORRECT)
    if (
        count is not None
        and count.kind is Kind.NUMBER
        and any(each.kind is Kind.NUMBERS for each in table.columns.values())
    ):
        return np.nan_to_num(count.values_B).astype(np.int64)
    if all(name in table.columns for name in _RESULTS) and table.columns[_RESULTS[0]].kind is Kind.NUMBERS:
        return np.ones(table.rows, dtype=np.int64)  # of four, the first is right
    return None


def counted(table: Table, finder: Finder, right_B: np.ndarray) -> Samples:
    """RewardBench 2's results: lists of scores, of which the first ones are of right responses."""
    finder.taken |= {name for name in (NUM_CORRECT, _RESULTS[1]) if name in table.columns}
    lists = [each for each in table.columns.values() if each.kind is Kind.NUMBERS]
    lengths_B = lists[0].lengths_B
    row_B = np.repeat(np.arange(table.rows), lengths_B)
    response = find_response(finder, (Kind.TEXTS,)) or finder.by_kind(lambda each: each.kind is Kind.TEXTS)
    prompt = find_prompt(finder, table.rows + 1)
    prompts, key_B = rows_as_prompts(table.rows) if prompt is None else keys_of(table, with_input(table, prompt))
    scores, left_out = list_scores(table, finder, lengths_B, f"{lists[0].name}'s")
    return Samples(
        form="best-of-k",
        says={**says(prompt, response, None, None), "gold": "1 for the first num_correct of each row (1 where it is "
              "missing), 0 for the others"},
        prompts=[prompts[key] if key >= 0 else "" for key in key_B],
        prompt_B=np.where(key_B >= 0, np.arange(table.rows), -1)[row_B],
        responses=None if response is None else response_lists(table, response, lengths_B),
        gold_B=(within_rows(row_B, lengths_B) < np.repeat(right_B, lengths_B)).astype(np.float64),
        log_prob_B=None,
        scores=scores,
        row_B=row_B,
        left_out=left_out,
    )  # fmt: skip


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
        return filled(as_long(table, column, lengths_B), lengths_B)
    if (lengths_B > 1).any():
        row = int((lengths_B > 1).argmax())
        raise UserError(f"{table.place(row)}: {name} is one number for {lengths_B[row]} responses. Give a list.")
    return column.values_B[lengths_B > 0]
