"""The samples of a table, in the order of the file.

Axis letters: B responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mlproject.curve import Array
from mlproject.samples.columns import Column


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


def says(prompt: Column | None, response: Column | None, gold: Column | None, logprob: Column | None) -> dict[str, str]:
    columns = {"prompt": prompt, "response": response, "gold": gold, "logprob": logprob}
    return {meaning: column.name for meaning, column in columns.items() if column is not None}
