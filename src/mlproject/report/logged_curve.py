"""A curve that was logged elsewhere: a table whose columns are named as their owner likes.

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

COLUMNS = {
    "kl": "KL from the initial policy, nats per response",
    "gold": "gold or held-out score",
    "gold_se": "its standard error; where it is missing, the scatter about the law stands in",
    "proxy": "score of the reward model that was optimized against; may be missing",
    "step": "update, or n; where it is missing, rows are counted",
}
NEEDED = ("kl", "gold")
START_KL = 0.002
"""Up to this KL, nats, a point counts as the initial policy's own: gold rises with the root of KL, so not far."""

_NEGATIVE_KL = -0.05  # an estimate of a KL of 0 may fall as low

_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".tsv": lambda path: pd.read_csv(path, sep="\t"),
    ".parquet": pd.read_parquet,
}


@dataclass(frozen=True)
class LoggedCurve:
    """A foreign curve in the project's terms.

    Attributes:
        points: in order of KL; gold above the initial policy's, in units of `gold_sd`; the proxy as it was logged.
        table: the same as numbers, one row per point, with `COLUMNS`.
        gold_start: what was subtracted from gold.
        se_is_guessed: True where no standard error was given.
    """

    points: list[CurvePoint]
    table: pd.DataFrame
    gold_start: float
    se_is_guessed: bool


def parse_columns(text: str) -> dict[str, str]:
    """Read `kl=objective/kl,gold=eval/gold`: which of the table's columns is what.

    Raises:
        UserError: for another form, an unknown name, or one given twice.
    """
    found: dict[str, str] = {}
    for part in text.split(",") if text else []:
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise UserError(f"columns={text}: {part.strip()!r} has not the form name=column, as in kl=objective/kl")
        if name not in COLUMNS:
            raise UserError(f"columns={text}: there is no {name}; allowed are {', '.join(COLUMNS)}")
        if name in found:
            raise UserError(f"columns={text}: {name} is given twice; give it once")
        found[name] = column
    return found


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet file.

    Raises:
        UserError: where it cannot be read as that.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"curve={path}: allowed are {', '.join(_READERS)} files and MLflow run ids; convert it")
    try:
        return reader(path)
    except FileNotFoundError:
        raise UserError(f"curve={path}: no such file; give the path of a table, or an MLflow run id") from None
    except Exception as error:  # pandas and pyarrow have many ways to say that a file is broken
        reason = first_line(error)
        raise UserError(f"curve={path}: cannot be read ({reason}); give a table with a header line") from None


def logged_curve(
    table: pd.DataFrame,
    columns: Mapping[str, str],
    source: str,
    method: str,
    gold_sd: float = 1.0,
    gold_start: float | None = None,
) -> LoggedCurve:
    """Bring a foreign table into the project's terms.

    Args:
        table: one row per point, in any order.
        columns: which of its columns is what; a name that is left out is a column of that name.
        source: for messages.
        method: what optimized the policy; decides on the law about which a guessed error is measured.
        gold_sd: standard deviation of the initial policy's gold scores, in the table's unit.
        gold_start: their mean; None takes gold of the points up to `START_KL`.

    Raises:
        UserError: one line on the row and column that is wrong.
    """
    if not np.isfinite(gold_sd) or gold_sd <= 0:
        raise UserError(f"gold_sd={gold_sd:g}: allowed is a number above 0: how much initial gold scores spread")
    if table.empty:
        raise UserError(f"{source}: has no rows; log at least three points")
    numbers = pd.DataFrame({name: _column(table, name, columns, source) for name in COLUMNS}).dropna(axis=1, how="all")
    numbers = numbers.sort_values("kl", kind="stable", ignore_index=True)
    if gold_start is None:
        at_start = numbers.gold[numbers.kl <= START_KL]
        if at_start.empty:
            raise UserError(
                f"{source}: the first point is at {numbers.kl.min():.3g} nats, so the initial policy's gold is "
                "unknown; give gold_start=MEAN"
            )
        gold_start = float(at_start.mean())
    numbers["gold"] = (numbers.gold - gold_start) / gold_sd
    form, guessed = law_for(method), "gold_se" not in numbers
    try:
        law = fit(form, np.sqrt(numbers.kl.clip(lower=0)), numbers.gold, MIN_D[form.name])
    except ValueError as error:
        raise UserError(f"{source}: {error}; log more points") from None
    if guessed:
        scatter = law.rmse * np.sqrt(law.points / max(law.points - form.dof, 1))
        numbers["gold_se"] = np.where(numbers.kl > START_KL, scatter, 0.0)
    else:
        numbers["gold_se"] /= gold_sd
        if (numbers.gold_se < 0).any():
            raise UserError(
                f"{source}: column gold_se holds {numbers.gold_se.min() * gold_sd:g}; an error is not negative"
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
    """One column as finite numbers; all nan where an optional one is missing."""
    wanted = columns.get(name, name)
    if wanted not in table:
        if name in NEEDED or name in columns:
            known = ", ".join(map(str, table.columns))
            raise UserError(f"{source}: has no column {wanted} for {name}; it has {known}; give columns={name}=COLUMN")
        return pd.Series(np.nan, index=table.index)
    numbers = pd.to_numeric(table[wanted], errors="coerce").astype(float)
    wrong = ~np.isfinite(numbers) | ((numbers < _NEGATIVE_KL) if name == "kl" else False)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        allowed = "a KL of at least 0" if name == "kl" else "a finite number"
        raise UserError(
            f"{source}: row {row + 1}, column {wanted}: {table[wanted].iloc[row]!r} is not {allowed}; mend it"
        )
    return numbers
