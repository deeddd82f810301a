"""A curve that was logged elsewhere: a table with arbitrary column names.

Axis letters: S curve points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mlproject.curve import CurvePoint
from mlproject.errors import UserError, first_line
from mlproject.laws import MIN_D, fit, law_for, points_from_summaries
from mlproject.optimization import find_method

COLUMNS = {
    "kl": "KL from the initial policy, nats per response",
    "gold": "gold or held-out score",
    "gold_se": "standard error of gold; by default estimated from the scatter about the law",
    "proxy": "score of the reward model that was optimized; optional",
    "step": "update, or n; by default the row number",
}
REQUIRED = ("kl", "gold")
START_KL = 0.002
"""A point up to this KL (nats) counts as the initial policy: gold is proportional to sqrt(KL) near the start."""

_NEGATIVE_KL = -0.05  # an estimate of a KL of 0 may be as low as this

_FORMATS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".tsv": lambda path: pd.read_csv(path, sep="\t"),
    ".parquet": pd.read_parquet,
}


@dataclass(frozen=True)
class LoggedCurve:
    """A curve that was logged elsewhere, in this project's units.

    Attributes:
        points: in order of KL; gold relative to the initial policy's, in units of `gold_sd`; the proxy as logged.
        table: the same numbers, one row per point, with the columns of `COLUMNS`.
        gold_start: the initial policy's gold, which was subtracted.
        se_is_guessed: whether the standard error was estimated from the scatter.
    """

    points: list[CurvePoint]
    table: pd.DataFrame
    gold_start: float
    se_is_guessed: bool


def parse_columns(text: str) -> dict[str, str]:
    """Parse `kl=objective/kl,gold=eval/gold`.

    Returns:
        column of the table by name of `COLUMNS`.

    Raises:
        UserError: for another syntax, an unknown name, or a repeated one.
    """
    columns: dict[str, str] = {}
    for part in text.split(",") if text else []:
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise UserError(f"columns={text}: {part.strip()!r} must have the form name=column.")
        if name not in COLUMNS:
            raise UserError(f"columns={text}: {name} must be one of {', '.join(COLUMNS)}.")
        if name in columns:
            raise UserError(f"columns={text}: {name} is repeated. Give it once.")
        columns[name] = column
    return columns


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet file.

    Raises:
        UserError: if it cannot be read.
    """
    read = _FORMATS.get(path.suffix.lower())
    if read is None:
        raise UserError(f"curve={path}: must be a {', '.join(_FORMATS)} file or an MLflow run id. Convert the file.")
    try:
        return read(path)
    except FileNotFoundError:
        raise UserError(f"curve={path}: no such file. Give the path of a table, or an MLflow run id.") from None
    except Exception as error:  # pandas and pyarrow raise many kinds of errors for a malformed file
        reason = first_line(error)
        raise UserError(f"curve={path}: cannot be read ({reason}). Give a table with a header line.") from None


def logged_curve(
    table: pd.DataFrame,
    columns: Mapping[str, str],
    source: str,
    method: str,
    gold_sd: float = 1.0,
    gold_start: float | None = None,
) -> LoggedCurve:
    """Convert a table to this project's units.

    Args:
        table: one row per point, in any order.
        columns: column of the table by name of `COLUMNS`; by default the column of the same name.
        source: the option and its value, for error messages.
        method: the method that optimized the policy; its law is used to estimate missing standard errors.
        gold_sd: standard deviation of the initial policy's gold scores, in the table's unit.
        gold_start: their mean; None uses the gold of the points up to `START_KL`.

    Raises:
        UserError: one line that names the invalid row and column.
    """
    if not np.isfinite(gold_sd) or gold_sd <= 0:
        raise UserError(
            f"gold_sd={gold_sd:g}: must be above 0. Give the standard deviation of the initial policy's gold scores."
        )
    if table.empty:
        raise UserError(f"{source}: has no rows. Log at least three points.")
    numbers = pd.DataFrame({name: _column(table, name, columns, source) for name in COLUMNS}).dropna(axis=1, how="all")
    numbers = numbers.sort_values("kl", kind="stable", ignore_index=True)
    if gold_start is None:
        at_start = numbers.gold[numbers.kl <= START_KL]
        if at_start.empty:
            raise UserError(
                f"{source}: starts at {numbers.kl.min():.3g} nats, so the initial policy's gold is unknown. "
                "Give gold_start=MEAN."
            )
        gold_start = float(at_start.mean())
    numbers["gold"] = (numbers.gold - gold_start) / gold_sd
    form, guessed = law_for(find_method(method)), "gold_se" not in numbers
    try:
        law = fit(form, np.sqrt(numbers.kl.clip(lower=0)), numbers.gold, MIN_D[form.name])
    except ValueError as error:
        raise UserError(f"{source}: {error}. Log more points.") from None
    if guessed:
        scatter = law.rmse * np.sqrt(law.points / max(law.points - form.dof, 1))
        numbers["gold_se"] = np.where(numbers.kl > START_KL, scatter, 0.0)
    else:
        numbers["gold_se"] /= gold_sd
        if (numbers.gold_se < 0).any():
            raise UserError(
                f"{source}: column gold_se contains {numbers.gold_se.min() * gold_sd:g}; it must not be negative."
            )
    if "step" not in numbers:
        numbers["step"] = np.arange(len(numbers))
    points = points_from_summaries(
        numbers.step.round().astype(int).tolist(),
        numbers.kl.clip(lower=0).tolist(),
        numbers.gold.tolist(),
        numbers.gold_se.tolist(),
        numbers.proxy.tolist() if "proxy" in numbers else None,
        prompts=max(256, len(numbers) + 2),
    )
    return LoggedCurve(points, numbers, gold_start, guessed)


def _column(table: pd.DataFrame, name: str, columns: Mapping[str, str], source: str) -> pd.Series:
    """One column as finite numbers; all nan if an optional one is missing."""
    column = columns.get(name, name)
    if column not in table:
        if name in REQUIRED or name in columns:
            names = ", ".join(map(str, table.columns))
            raise UserError(
                f"{source}: has no column {column} for {name}; its columns are {names}. Give columns={name}=COLUMN."
            )
        return pd.Series(np.nan, index=table.index)
    numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
    invalid = ~np.isfinite(numbers) | ((numbers < _NEGATIVE_KL) if name == "kl" else False)
    if invalid.any():
        row = int(np.flatnonzero(invalid)[0])
        valid = "a KL of at least 0" if name == "kl" else "a finite number"
        raise UserError(
            f"{source}: row {row + 1}, column {column}: {table[column].iloc[row]!r} must be {valid}. Correct the table."
        )
    return numbers
