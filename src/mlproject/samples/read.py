"""Reads a table of scored samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlproject.samples.columns import read_table
from mlproject.samples.layout import lay_out
from mlproject.samples.pool import Choice, ScoredPool, make_pool
from mlproject.worlds.files.rows import InvalidRows


def read_samples(
    path: Path, asked: Mapping[str, str], choice: Choice, invalid: InvalidRows | None = None
) -> ScoredPool:
    """Read a table of scored samples.

    Args:
        path: JSON Lines, JSON, CSV, TSV (each perhaps with .gz), Parquet, Arrow, or a folder that `datasets` saved.
        asked: columns by meaning (see `MEANINGS`); the others are found by their names.
        choice: reward models, and what is left out.
        invalid: what becomes of rows that cannot be read; by default the first one is refused.

    Raises:
        UserError: in one line, for what cannot be read.
    """
    table = read_table(path, invalid or InvalidRows())
    return make_pool(table, lay_out(table, asked), choice)
