"""Reads a table of responses without scores: prompt, response, and the log-probability where the table has it.

Axis letters: B responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.samples.columns import Column, Kind, Table, column_of, lists_in, read_table
from mlproject.samples.roles import Finder, find_logprob, find_prompt, find_response
from mlproject.samples.texts import keys_of, responses_of, with_input
from mlproject.worlds.files.rows import InvalidRows

MEANINGS = ("prompt", "response", "logprob")


@dataclass(frozen=True)
class GivenResponses:
    """Responses from elsewhere.

    Attributes:
        source: the option and its value, for messages.
        by_prompt: rows of the responses to each prompt, in the order of the file.
        texts: the responses. Length B.
        log_prob_B: nats; None where the table has none. Shape: (B,).
    """

    source: str
    by_prompt: Mapping[str, np.ndarray]
    texts: pa.Array
    log_prob_B: Array | None

    def counts(self) -> dict[str, int]:
        """Number of responses to each prompt."""
        return {prompt: len(rows) for prompt, rows in self.by_prompt.items()}


def read_responses(path: Path, asked: Mapping[str, str], invalid: InvalidRows | None = None) -> GivenResponses:
    """Read a table with one row for each response, or for each prompt with lists of responses.

    Args:
        path: JSON Lines, JSON, CSV, TSV (each perhaps with .gz), Parquet, Arrow, or a folder that `datasets` saved.
        asked: columns that the user named, by meaning (`MEANINGS`).
        invalid: what becomes of rows that cannot be read; by default the first one is refused.

    Raises:
        UserError: in one line, for what cannot be read.
    """
    table = read_table(path, invalid or InvalidRows(), "pool")
    finder = Finder(table, asked)
    response = find_response(finder, (Kind.TEXTS,)) or find_response(finder, (Kind.TEXT, Kind.MESSAGES))
    prompt = find_prompt(finder, table.rows + 1)
    if prompt is None or response is None:
        raise _named(finder.refusal("response" if prompt else "prompt"))
    if prompt.kind not in (Kind.TEXT, Kind.MESSAGES):
        raise UserError(
            f"{table.source}: column {prompt.name} must hold the prompts as texts or messages, not {prompt.kind}. "
            "Give pool_columns=prompt=COLUMN."
        )
    if response.text_kind is Kind.TEXT and (lists := lists_in(response.stored)) is not None:  # in a cell of a CSV file
        response = column_of(response.name, lists)
    prompts, key_B = keys_of(table, with_input(table, prompt))
    is_wide = response.text_kind is Kind.TEXTS
    row_B = np.repeat(np.arange(table.rows), response.lengths_B) if is_wide else np.arange(table.rows)
    log_prob = find_logprob(finder, lambda each: each.kind is (Kind.NUMBERS if is_wide else Kind.NUMBER))
    texts = responses_of(table, response)
    is_there_B = ~texts.is_null().to_numpy(zero_copy_only=False) & (key_B[row_B] >= 0)
    log_prob_B = None if log_prob is None else _log_probs(table, log_prob, response, row_B, is_there_B)
    order_B = np.flatnonzero(is_there_B)
    order_B = order_B[np.argsort(key_B[row_B][order_B], kind="stable")]
    keys, first = np.unique(key_B[row_B][order_B], return_index=True)
    by_prompt = {prompts[key]: rows for key, rows in zip(keys, np.split(order_B, first[1:]), strict=True)}
    return GivenResponses(table.source, by_prompt, texts, log_prob_B)


def _log_probs(table: Table, column: Column, response: Column, row_B: np.ndarray, is_there_B: np.ndarray) -> Array:
    """Log-probability of each response, nats. Shape: (B,).

    Raises:
        UserError: for a response without one, or one that is no log-probability.
    """
    if response.text_kind is Kind.TEXTS and (wrong_B := column.lengths_B != response.lengths_B).any():
        row = int(wrong_B.argmax())
        raise UserError(
            f"{table.place(row)}: {column.name} has {column.lengths_B[row]} items and {response.name} "
            f"{response.lengths_B[row]}. Give every response its log-probability."
        )
    wrong_B = is_there_B & ~((column.values_B <= 1e-3) & np.isfinite(column.values_B))
    if wrong_B.any():
        index = int(wrong_B.argmax())
        raise UserError(
            f"{table.place(int(row_B[index]))}: {column.name} must be the log-probability of the response in nats, at "
            f"most 0, summed over its tokens, not {column.values_B[index]:g}. Correct it, or drop the column."
        )
    return column.values_B


def _named(error: UserError) -> UserError:
    """The same with the option that names columns of a pool."""
    return UserError(str(error).replace("columns=", "pool_columns="))
