"""What a joined log must not hold: infinite values, impossible steps, several runs in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.report.logs.cells import INFINITE
from mlproject.report.logs.columns import CHART_SEPARATOR, REQUIRED
from mlproject.report.logs.log import Log

LARGEST_STEP = 1e15
"""Steps beyond it are no steps: a float no longer tells neighbours apart, and a tracking store may refuse them."""

RUN_COLUMNS = {"seed", "run", "run_id", "run_name", "name", "group", "trial", "experiment", "arm"}
"""Columns of numbers, in lower case, that tell runs apart; columns of texts may have any name."""


@dataclass(frozen=True)
class Metric:
    """A metric at the steps at which it was logged, increasing.

    Attributes:
        values: by step.
        log: where it comes from.
        rows: the row of each value, by step.
    """

    values: pd.Series
    log: Log
    rows: pd.Series

    def place(self, step: float) -> str:
        """Where the value of a step is, for messages."""
        place, at = self.log.place(int(self.rows[step])), f"step {step:g}"
        return at if place == at else f"{place} ({at})"


def check_steps(log: Log, rows: np.ndarray, steps: Array, column: str, source: str) -> None:
    """Refuse a step that is none.

    Args:
        log: the log.
        rows: rows in use.
        steps: the step of each.
        column: where the steps come from.
        source: the option and its value, for messages.
    """
    absurd = np.flatnonzero(np.abs(steps) > LARGEST_STEP)
    if absurd.size:
        raise UserError(
            f"{source}: {log.place(int(rows[absurd[0]]))}, column {column}: {steps[absurd[0]]:g} is no step; it must "
            f"be at most {LARGEST_STEP:g}. Correct the log or give columns=step=COLUMN."
        )


def check_single_run(log: Log, column: str, rows: np.ndarray, steps: Array, source: str) -> None:
    """Refuse a table of several runs: a column of few values that tells apart the rows of one step.

    Args:
        log, rows, steps, source: as for `check_steps`.
        column: the metric, which tells nothing.
    """
    for name in log.table.columns:
        if name in (column, log.step) or not isinstance(log.table[name], pd.Series):
            continue
        cells = log.table[name].iloc[rows]
        if not (pd.api.types.is_string_dtype(cells) or str(name).casefold() in RUN_COLUMNS):
            continue
        labels = cells.astype(str).to_numpy()
        runs = list(dict.fromkeys(labels))
        if 1 < len(runs) <= len(rows) / 2 and not pd.DataFrame({"run": labels, "step": steps}).duplicated().any():
            raise UserError(
                f"{source}: holds {len(runs)} runs (column {name}: {', '.join(runs[:5])}"
                f"{', ...' if runs[5:] else ''}). Give a file with the rows of one run."
            )


def check_one_run(chosen: Mapping[str, str], source: str) -> None:
    """Refuse KL of one run of a W&B chart beside gold of another.

    Args:
        chosen: column by meaning.
        source: the option and its value, for messages.
    """
    runs = {meaning: chosen[meaning].rpartition(CHART_SEPARATOR)[0] for meaning in REQUIRED}
    if all(runs.values()) and len(set(runs.values())) > 1:
        raise UserError(
            f"{source}: kl is of run {runs['kl']} and gold of run {runs['gold']}. Give columns=kl=... and gold=... of "
            "one run."
        )


def check_finite(metric: Metric, steps: pd.Index, column: str, source: str) -> None:
    """Refuse an infinite value at a step in use.

    Args:
        metric: the metric.
        steps: steps in use.
        column: its column.
        source: the option and its value, for messages.
    """
    values = metric.values[metric.values.index.isin(steps)]
    infinite = values.index[np.abs(values) >= INFINITE]
    if len(infinite):
        raise UserError(
            f"{source}: {metric.place(infinite[0])}, column {column}: {values[infinite[0]]:g} must be a finite number. "
            "Correct it, or leave that step out."
        )
