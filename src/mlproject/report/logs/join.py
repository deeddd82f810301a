"""Metrics that were logged at different steps, joined on step.

Axis letters: S curve points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.laws.fits import MIN_POINTS
from mlproject.report.logs.cells import INFINITE, numbers
from mlproject.report.logs.checks import Metric, check_finite, check_one_run, check_single_run, check_steps
from mlproject.report.logs.columns import REQUIRED, USUAL_NAMES, choose, find
from mlproject.report.logs.log import Log

OTHERS = ("gold_se", "proxy", "length")


@dataclass(frozen=True)
class JoinedLog:
    """KL and gold at the steps that have both, and what else was logged there.

    Attributes:
        numbers: a row per step, in order of step, with columns of `mlproject.report.logs.columns.COLUMNS`; as logged.
        columns: the column that each was read from.
        notes: what was noticed, one line each.
        names: every column of the sources.
        kind: what the sources were recognised as.
    """

    numbers: pd.DataFrame
    columns: Mapping[str, str]
    notes: tuple[str, ...]
    names: Sequence[str]
    kind: str


def join(logs: Sequence[Log], columns: Mapping[str, str], source: str) -> JoinedLog:
    """Join KL, gold and what else there is on step.

    Of a step that was logged twice (a run that was resumed) the later value counts. Where the sources have no step,
    rows are steps. KL is interpolated between neighbouring steps only if it was logged at fewer than half of gold's
    steps; the proxy, which is drawn and not used, wherever it is missing.

    Args:
        logs: the sources.
        columns: column by meaning, as the user gave them; a minus before a name turns the sign round.
        source: the option and its value, for messages.

    Raises:
        UserError: one line: a column is missing, ambiguous or no number; a value is infinite; no step has both.
    """
    names = [str(name) for log in logs for name in log.table.columns if name != log.step]
    notes = [note for log in logs for note in log.notes]
    metrics: dict[str, Metric] = {}
    chosen: dict[str, str] = {}
    turned: set[str] = set()
    for meaning in (*REQUIRED, *OTHERS):
        asked = columns.get(meaning, "")
        is_turned = asked.startswith("-") and not find(asked, names)
        wanted = {**columns, meaning: asked.removeprefix("-")} if is_turned else columns
        if meaning == "length" and _is_number(asked):
            continue
        column = choose(meaning, names, wanted, source)
        if column is None:
            continue
        same = [other for other in chosen if chosen[other] == column]
        if same:
            raise UserError(f"{source}: {same[0]} and {meaning} are both {column}. Give columns={meaning}=COLUMN.")
        holders = [log for log in logs if column in log.table.columns]
        if len(holders) > 1:
            raise UserError(
                f"{source}: {column} is in {' and in '.join(log.name for log in holders)}. Give the files of one run."
            )
        chosen[meaning] = column
        metrics[meaning], more = _metric(holders[0], column, columns, source)
        if is_turned:
            turned.add(meaning)
            metrics[meaning] = Metric(-metrics[meaning].values, metrics[meaning].log, metrics[meaning].rows)
        notes += [note for note in more if note not in notes]
    check_one_run(chosen, source)
    for meaning in REQUIRED:
        if metrics[meaning].values.empty:
            raise UserError(
                f"{source}: {chosen[meaning]} has no value at any step. Log {meaning} at three steps or more."
            )
    joined, more = _joined(metrics, chosen, source)
    length = columns.get("length", "")
    if _is_number(length):
        joined["length"], chosen["length"] = float(length), length
    kinds = list(dict.fromkeys(log.kind for log in logs))
    chosen = {meaning: f"-{column}" if meaning in turned else column for meaning, column in chosen.items()}
    return JoinedLog(joined, chosen, (*notes, *more), names, " and ".join(kinds))


def _joined(metrics: Mapping[str, Metric], chosen: Mapping[str, str], source: str) -> tuple[pd.DataFrame, list[str]]:
    notes: list[str] = []
    kl, gold = metrics["kl"].values, metrics["gold"].values
    common = gold.index.intersection(kl.index)
    steps = common
    if len(common) < max(MIN_POINTS, len(gold) / 2):
        between = gold.index[(gold.index >= kl.index[0]) & (gold.index <= kl.index[-1])]
        if len(between) < MIN_POINTS:
            raise UserError(
                f"{source}: {chosen['kl']} (steps {_span(kl)}) and {chosen['gold']} (steps {_span(gold)}) have "
                f"{len(common)} steps in common; a law needs {MIN_POINTS}+ points. "
                "Give columns=step=COLUMN, or log both at the same steps."
            )
        steps = between
        notes.append(
            f"{chosen['kl']} was logged at {len(common)} of the {len(gold)} steps of {chosen['gold']}; at the others "
            "between its first and last step it is interpolated"
        )
    rows = pd.DataFrame({"kl": _at(steps, kl), "gold": gold.loc[steps].to_numpy()}, index=steps)
    if len(rows) < len(gold) or len(rows) < len(kl):
        notes.append(
            f"{len(rows)} steps have both: {chosen['kl']} was logged at {len(kl)}, {chosen['gold']} at {len(gold)}"
        )
    for meaning in REQUIRED:
        check_finite(metrics[meaning], rows.index, chosen[meaning], source)
    for meaning in OTHERS:
        if meaning not in metrics:
            continue
        metric, column = metrics[meaning], chosen[meaning]
        check_finite(metric, rows.index, column, source)
        values = metric.values[np.abs(metric.values) < INFINITE]
        missing = int((~rows.index.isin(values.index)).sum())
        if len(values) < 2 and missing:
            notes.append(f"{column} has no values at these steps, so that there is no {meaning}")
            continue
        rows[meaning] = _at(rows.index, values)
        if missing:
            notes.append(f"{column} was not logged at {missing} of these steps, where it is interpolated")
    rows.index.name = "step"
    return rows.reset_index(), notes


def _at(steps: pd.Index, values: pd.Series) -> Array:
    """Values at steps; between neighbours where a step has none, and the nearest beyond the first and last."""
    return np.interp(steps.to_numpy(), values.index.to_numpy(), values.to_numpy())


def _metric(log: Log, column: str, columns: Mapping[str, str], source: str) -> tuple[Metric, list[str]]:
    values = numbers(log, column, source)
    logged = ~np.isnan(values)
    steps, step_column = _steps(log, logged, columns, source)
    notes: list[str] = []
    without = logged & np.isnan(steps)
    if without.any():
        notes.append(f"{int(without.sum())} rows without a {step_column} are left out")
        logged &= ~without
    rows = np.flatnonzero(logged)
    used = steps[rows]
    if rows.size:
        check_steps(log, rows, used, step_column, source)
    by_step = pd.Series(rows, index=used)
    last = by_step[~by_step.index.duplicated(keep="last")].sort_index()
    repeated = len(by_step) - len(last)
    if repeated:
        check_single_run(log, column, rows, used, source)
        again = np.unique(used[by_step.index.duplicated(keep="last")])
        what = (
            f"{len(again)} steps from {again[0]:g} to {again[-1]:g} were"
            if len(again) > 1
            else f"step {again[0]:g} was"
        )
        notes.append(f"{what} logged more than once (a run that was resumed): the later value counts")
    elif (np.diff(used) < 0).any():
        notes.append(f"rows were not in order of {step_column}; they are sorted")
    return Metric(pd.Series(values[last.to_numpy(dtype=int)], index=last.index), log, last), notes


def _steps(log: Log, logged: np.ndarray, columns: Mapping[str, str], source: str) -> tuple[Array, str]:
    """The step of every row, and the column that holds it; the row number if there is none."""
    names = [str(name) for name in log.table.columns]
    if log.step is not None:
        return numbers(log, log.step, source), log.step
    if "step" in columns:
        column = choose("step", names, columns, source)
        assert column is not None
        return numbers(log, column, source), column
    candidates = [found[0] for name in USUAL_NAMES["step"] if len(found := find(name, names)) == 1]
    partly: tuple[Array, str] | None = None
    for column in candidates:
        steps = numbers(log, column, source)
        if not np.isnan(steps[logged]).any():
            return steps, column
        partly = partly or (steps, column)
    return partly or (np.arange(len(log.table), dtype=np.float64), "row")


def _is_number(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def _span(values: pd.Series) -> str:
    return f"{values.index[0]:g} to {values.index[-1]:g}"
