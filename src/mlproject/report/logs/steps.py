"""The steps of a log, and a metric at the steps at which it was logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.report.logs.cells import numbers
from mlproject.report.logs.columns import USUAL_NAMES, choose, find
from mlproject.report.logs.log import Log

ROW = "row"
"""In place of a column of steps: rows are counted."""

LARGEST_STEP = 1e15
"""Steps beyond it are no steps: a float no longer tells neighbours apart, and a tracking store may refuse them."""

RUN_COLUMNS = {"seed", "run", "run_id", "run_name", "name", "group", "trial", "experiment", "arm"}
"""Columns of numbers, in lower case, that tell runs apart; columns of texts may have any name."""


@dataclass(frozen=True)
class Steps:
    """The step of every row of a log.

    Attributes:
        values: nan where a row has none. One per row.
        column: where they come from, or `ROW`.
    """

    values: Array
    column: str


@dataclass(frozen=True)
class Metric:
    """A metric at the steps at which it was logged, increasing.

    Attributes:
        values: by step.
        log: where it comes from.
        rows: the row of each value, by step.
        steps: column of the steps, or `ROW`.
    """

    values: pd.Series
    log: Log
    rows: pd.Series
    steps: str

    def place(self, step: float) -> str:
        """Where the value of a step is, for messages."""
        place, at = self.log.place(int(self.rows[step])), f"step {step:g}"
        return at if place == at else f"{place} ({at})"


def steps_of(log: Log, logged: np.ndarray, columns: Mapping[str, str], source: str) -> Steps:
    """The steps of a log: of all its metrics, since two columns of steps may count differently.

    Args:
        log: the log.
        logged: which rows have a value that is needed. One per row.
        columns: column by meaning, as the user gave them.
        source: the option and its value, for messages.

    Returns:
        the user's column; or the likeliest one that no needed row lacks; or the likeliest one; or row numbers.
    """
    names = [str(name) for name in log.table.columns]
    if log.step is not None:
        return Steps(numbers(log, log.step, source), log.step)
    if "step" in columns:
        column = choose("step", names, columns, source)
        assert column is not None
        return Steps(numbers(log, column, source), column)
    found = [each[0] for name in USUAL_NAMES["step"] if len(each := find(name, names)) == 1]
    candidates = [Steps(numbers(log, column, source), column) for column in dict.fromkeys(found)]
    whole = [steps for steps in candidates if not np.isnan(steps.values[logged]).any()]
    return next(iter(whole or candidates), Steps(np.arange(len(log.table), dtype=np.float64), ROW))


def metric_at_steps(log: Log, column: str, values: Array, steps: Steps, source: str) -> tuple[Metric, list[str]]:
    """A metric by step; of a step that was logged twice the later value counts.

    Args:
        log: the log.
        column: of the metric.
        values: its numbers, nan where nothing was logged. One per row.
        steps: of the log.
        source: the option and its value, for messages.

    Returns:
        the metric, and what was noticed.

    Raises:
        UserError: for an impossible step, or several runs in one table.
    """
    notes: list[str] = []
    logged = ~np.isnan(values)
    without = logged & np.isnan(steps.values)
    if without.any():
        notes.append(f"{int(without.sum())} rows without a {steps.column} are left out")
    rows = np.flatnonzero(logged & ~without)
    used = steps.values[rows]
    _check_steps(log, rows, used, steps.column, source)
    by_step = pd.Series(rows, index=used, dtype=np.int64)
    is_earlier = by_step.index.duplicated(keep="last")
    last = by_step[~is_earlier].sort_index()
    if is_earlier.any():
        _check_single_run(log, column, rows, used, source)
        again = np.unique(used[is_earlier])
        several = f"{len(again)} steps from {again[0]:g} to {again[-1]:g} were"
        what = several if len(again) > 1 else f"step {again[0]:g} was"
        notes.append(f"{what} logged more than once (a run that was resumed): the later value counts")
    elif (np.diff(used) < 0).any():
        notes.append(f"rows were not in order of {steps.column}; they are sorted")
    return Metric(pd.Series(values[last.to_numpy()], index=last.index), log, last, steps.column), notes


def _check_steps(log: Log, rows: np.ndarray, steps: Array, column: str, source: str) -> None:
    absurd = np.flatnonzero(np.abs(steps) > LARGEST_STEP)
    if absurd.size:
        raise UserError(
            f"{source}: {log.place(int(rows[absurd[0]]))}, column {column}: {steps[absurd[0]]:g} is no step; it must "
            f"be at most {LARGEST_STEP:g}. Correct the log or give columns=step=COLUMN."
        )


def _check_single_run(log: Log, column: str, rows: np.ndarray, steps: Array, source: str) -> None:
    """Refuse a table of several runs: a column of few values tells the rows of one step apart."""
    for name in log.table.columns:
        if name in (column, log.step) or not isinstance(log.table[name], pd.Series):
            continue
        cells = log.table[name].iloc[rows]
        if cells.isna().any():
            continue
        labels = cells.astype(str)
        is_number = pd.to_numeric(labels.str.replace(",", "."), errors="coerce").notna().all()
        if is_number and str(name).casefold() not in RUN_COLUMNS:
            continue
        runs = list(dict.fromkeys(labels))
        if (
            1 < len(runs) <= len(rows) / 2
            and not pd.DataFrame({"run": labels.to_numpy(), "step": steps}).duplicated().any()
        ):
            raise UserError(
                f"{source}: holds {len(runs)} runs (column {name}: {', '.join(runs[:5])}"
                f"{', ...' if runs[5:] else ''}). Give a file with the rows of one run."
            )
