"""Rows of a table that stand there more than once.

Axis letters: B responses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlproject.samples.samples import Samples

KEEP, DROP = "keep", "drop"
_DROP = f"duplicates={DROP}"


def without_copies(
    samples: Samples, names: Sequence[str], rows: np.ndarray, duplicates: str, notes: list[str]
) -> np.ndarray:
    """The rows, each once where the whole table is there several times, or the user wants repeated responses once."""
    columns = [samples.prompt_B[rows], samples.gold_B[rows], *(samples.scores[name][rows] for name in names)]
    if samples.responses is not None:
        texts = pc.dictionary_encode(samples.responses.take(pa.array(rows))).indices
        columns.append(pc.fill_null(texts, -1).to_numpy(zero_copy_only=False))
    rank_B, times_B = _copies(columns)
    copies = int(np.gcd.reduce(times_B))
    if copies > 1:
        notes.append(f"every row is there {copies} times, and is read once")
        kept_B = rank_B < times_B // copies
        rows, columns = rows[kept_B], [column[kept_B] for column in columns]
    if samples.responses is None:
        return rows
    repeats_B = _copies([columns[0], columns[-1]])[0] > 0
    if not repeats_B.any():
        return rows
    if duplicates == DROP:
        notes.append(f"{repeats_B.sum():,} responses repeat another of their prompt and are left out ({_DROP})")
        return rows[~repeats_B]
    notes.append(
        f"{repeats_B.sum():,} of {len(rows):,} responses repeat another of their prompt; they are kept, since the "
        f"policy gives them that often ({_DROP} reads each once)"
    )
    return rows


def _copies(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """For each row how many equal rows stand before it, and how many there are with it. Shapes: (B,)."""
    order_B = np.lexsort(columns)  # stable: equal rows keep their order
    starts_B = np.ones(len(order_B), dtype=bool)
    starts_B[1:] = np.any([column[order_B][1:] != column[order_B][:-1] for column in columns], axis=0)
    starts = np.flatnonzero(starts_B)
    times = np.diff(starts, append=len(order_B))
    rank_B, times_B = np.empty_like(order_B), np.empty_like(order_B)
    rank_B[order_B] = np.arange(len(order_B)) - np.repeat(starts, times)
    times_B[order_B] = np.repeat(times, times)
    return rank_B, times_B
