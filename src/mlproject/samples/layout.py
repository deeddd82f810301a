"""The forms that a table of samples has, each read as one list of samples: long, wide, best-of-k.

- long: one row for each response;
- wide: one row for each prompt, with lists of responses and of scores;
- best-of-k: one row for each prompt, with right (`chosen`) and wrong (`rejected`) responses, as in RewardBench 2; gold
  is 1 and 0.

Axis letters: B responses, or rows of a table.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.samples.best_of_k import CHOSEN, REJECTED, best_of_k, counted, numbers_right
from mlproject.samples.columns import Column, Kind, Table
from mlproject.samples.lists import list_scores, log_prob_lists, response_lists, rows_as_prompts
from mlproject.samples.roles import (
    Finder,
    find_gold,
    find_logprob,
    find_prompt,
    find_response,
    response_beside,
    texts_by_repetition,
)
from mlproject.samples.samples import Samples, says
from mlproject.samples.texts import keys_of, responses_of, split_conversations, with_input


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
        return best_of_k(table, finder, *(side for side in sides if side))
    if "gold" not in asked and (right_B := numbers_right(table)) is not None:
        return counted(table, finder, right_B)
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
        says=says(prompt, response, gold, logprob),
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
    prompts, key_B = rows_as_prompts(table.rows) if prompt is None else keys_of(table, with_input(table, prompt))
    logprob = find_logprob(finder, lambda each: each.kind is Kind.NUMBERS)
    scores, left_out = list_scores(table, finder, lengths_B, "gold's")
    responses = None if response is None else response_lists(table, response, lengths_B)
    return Samples(
        form="wide",
        says=says(prompt, response, gold, logprob),
        prompts=prompts,
        prompt_B=key_B[row_B],
        responses=responses,
        gold_B=gold.values_B,
        log_prob_B=None if logprob is None else log_prob_lists(table, logprob, lengths_B),
        scores=scores,
        row_B=row_B,
        left_out=left_out,
    )
