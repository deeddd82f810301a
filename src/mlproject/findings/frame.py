"""A result as one table, and its groups in a sensible order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from mlproject.archive import Result
from mlproject.errors import UserError

CURVE = "curve"
"""Column that holds the curve of a cell."""


def frame(result: Result) -> pd.DataFrame:
    """One row per cell: every setting and metric, and the curve."""
    return pd.DataFrame([{**cell.settings, **cell.metrics, CURVE: cell.curve} for cell in result.cells])


def names(given: Any) -> list[str]:
    """The names in a part of a YAML file: none, one, or a list."""
    return [] if given is None else [given] if isinstance(given, str) else list(given)


def check_columns(table: pd.DataFrame, given: Sequence[str], what: str) -> None:
    """Refuse names that no cell has.

    Raises:
        UserError: one line with the names that exist.
    """
    if missing := [name for name in given if name not in table]:
        known = ", ".join(str(name) for name in table if name != CURVE)
        raise UserError(f"{what}={', '.join(missing)}: no policy run has that; there are {known}")


def groups(table: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Rows by the values of some columns, ascending; RM sizes by their parameters, best-of-n first."""
    if not by:
        yield {}, table
        return
    order = table.drop_duplicates(list(by)).sort_values([_order(name) for name in by], key=_rank)
    for values in order[list(by)].itertuples(index=False, name=None):
        kept = pd.Series(True, index=table.index)
        for name, value in zip(by, values, strict=True):
            kept &= table[name].isna() if pd.isna(value) else table[name] == value
        yield dict(zip(by, values, strict=True)), table[kept]


def label(values: dict[str, Any]) -> str:
    """Values of a group in words; a bare value speaks for itself where it is a text."""
    return ", ".join(
        value if isinstance(value, str) else f"{name} {value:g}" for name, value in values.items() if value != ""
    )


def _order(name: str) -> str:
    return {"rm_size": "rm_params", "policy_size": "policy_size"}.get(name, name)


def _rank(column: pd.Series) -> pd.Series:
    from mlproject.models.sizes import SIZES

    if column.name == "policy_size":
        return column.map(lambda size: SIZES[size].reward_model_parameters)
    return column.astype(str) if column.dtype == object else column
