"""A result as one table, and its groups in a sensible order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from mlproject.errors import UserError
from mlproject.experiments.results import Result
from mlproject.models.sizes import SIZES

CURVE_COLUMN = "curve"
"""Column that holds the curve of a cell."""


def frame(result: Result) -> pd.DataFrame:
    """One row per cell: every setting and metric, and the curve."""
    return pd.DataFrame([{**cell.settings, **cell.metrics, CURVE_COLUMN: cell.curve} for cell in result.cells])


def names(given: Any) -> list[str]:
    """The names in a part of a YAML file: none, one, or a list."""
    return [] if given is None else [given] if isinstance(given, str) else list(given)


def check_columns(table: pd.DataFrame, given: Sequence[str], what: str, numbers: bool = False) -> None:
    """Refuse names that no cell has, and words where numbers are needed.

    Raises:
        UserError: one line with the names that exist.
    """
    columns = [name for name in table if name != CURVE_COLUMN]
    known = [name for name in columns if pd.api.types.is_numeric_dtype(table[name])] if numbers else columns
    if missing := [name for name in given if name not in known]:
        problem = "is not a number" if missing[0] in columns else "no policy run has that"
        raise UserError(f"{what}={', '.join(missing)}: {problem}; there are {', '.join(map(str, known))}")


def in_order(values: Iterable[Any]) -> list[Any]:
    """Distinct values, ascending; names of sizes by their parameters, nan last."""
    distinct = pd.Series(pd.unique(pd.Series(list(values))))
    return distinct.sort_values(key=_rank).tolist()


def groups(table: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Rows by the values of some columns, in the order of `in_order`."""
    if not by:
        yield {}, table
        return
    order = table.drop_duplicates(list(by)).sort_values(list(by), key=_rank)
    for values in order[list(by)].itertuples(index=False, name=None):
        kept = pd.Series(True, index=table.index)
        for name, value in zip(by, values, strict=True):
            kept &= table[name].isna() if pd.isna(value) else table[name] == value
        yield dict(zip(by, values, strict=True)), table[kept]


def label(values: dict[str, Any]) -> str:
    """Values of a group in words; a bare value speaks for itself where it is a text, and nothing is said of none."""
    said = {name: value for name, value in values.items() if not pd.isna(value) and value != ""}
    return ", ".join(value if isinstance(value, str) else f"{name} {value:g}" for name, value in said.items())


def _rank(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        return column
    if set(column.dropna()) <= set(SIZES):
        return column.map({name: size.reward_model_parameters for name, size in SIZES.items()})
    return column.astype(str)
