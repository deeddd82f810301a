"""A result as one table, and its groups in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from mlproject.errors import UserError
from mlproject.experiments.results import Result
from mlproject.models.sizes import SIZES

CURVE_COLUMN = "curve"
"""Column with the curve of each cell."""


def frame(result: Result) -> pd.DataFrame:
    """One row per cell: all settings and metrics, and the curve."""
    return pd.DataFrame([{**cell.settings, **cell.metrics, CURVE_COLUMN: cell.curve} for cell in result.cells])


def names(value: Any) -> list[str]:
    """The names in a value of a YAML file, which is empty, one name, or a list."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def check_columns(table: pd.DataFrame, required: Sequence[str], part: str, numbers: bool = False) -> None:
    """Check that the table has columns of these names.

    Args:
        table: one row per cell.
        required: the names.
        part: the part of the YAML file that contains them, for the error message.
        numbers: whether the columns must be numeric.

    Raises:
        UserError: if not; one line with the valid names.
    """
    columns = [name for name in table if name != CURVE_COLUMN]
    valid = [name for name in columns if pd.api.types.is_numeric_dtype(table[name])] if numbers else columns
    if invalid := [name for name in required if name not in valid]:
        problem = "is not a number" if invalid[0] in columns else "no policy run has it"
        raise UserError(f"{part}={', '.join(invalid)}: {problem}; must be one of {', '.join(map(str, valid))}.")


def in_order(values: Iterable[Any]) -> list[Any]:
    """Distinct values, ascending; size names by their parameters, nan last."""
    distinct = pd.Series(pd.unique(pd.Series(list(values))))
    return distinct.sort_values(key=_rank).tolist()


def groups(table: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Rows grouped by the values of some columns, in the order of `in_order`."""
    if not by:
        yield {}, table
        return
    order = table.drop_duplicates(list(by)).sort_values(list(by), key=_rank)
    for values in order[list(by)].itertuples(index=False, name=None):
        in_group = pd.Series(True, index=table.index)
        for name, value in zip(by, values, strict=True):
            in_group &= table[name].isna() if pd.isna(value) else table[name] == value
        yield dict(zip(by, values, strict=True)), table[in_group]


def label(values: dict[str, Any]) -> str:
    """Label of a group: texts as they are, numbers with their names; missing values are left out."""
    present = {name: value for name, value in values.items() if not pd.isna(value) and value != ""}
    return ", ".join(value if isinstance(value, str) else f"{name} {value:g}" for name, value in present.items())


def _rank(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        return column
    if set(column.dropna()) & set(SIZES):  # what is no size, such as a policy's implicit reward, comes last
        sizes = {name: size.reward_model_parameters for name, size in SIZES.items()}
        return column.map(lambda name: sizes.get(name, math.inf), na_action="ignore")
    return column.astype(str)
