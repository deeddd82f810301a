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
from mlproject.report.logs.checks import check_finite, check_one_run
from mlproject.report.logs.columns import REQUIRED, choose, find
from mlproject.report.logs.log import Log
from mlproject.report.logs.steps import ROW, Metric, metric_at_steps, steps_of

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
    steps; the proxy, which is drawn and not used, wherever it is missing. Before KL's first step, step 0 has KL 0.

    Args:
        logs: the sources.
        columns: column by meaning, as the user gave them; a minus before a name turns the sign round.
        source: the option and its value, for messages.

    Raises:
        UserError: one line: a column is missing, ambiguous or no number; a value is infinite; no step has both.
    """
    names = [str(name) for log in logs for name in log.table.columns if name != log.step]
    choices = _choices(logs, names, columns, source)
    chosen = {meaning: choice.column for meaning, choice in choices.items()}
    check_one_run(chosen, source)
    notes = [note for log in logs for note in log.notes]
    metrics: dict[str, Metric] = {}
    for log in logs:
        held = {meaning: choice for meaning, choice in choices.items() if choice.log is log}
        if not held:
            continue
        values = {meaning: numbers(log, choice.column, source) for meaning, choice in held.items()}
        needed = [each for meaning, each in values.items() if meaning in REQUIRED] or list(values.values())
        logged = (
            np.any([~np.isnan(each) for each in needed], axis=0) if needed else np.zeros(len(log.table), dtype=bool)
        )
        steps = steps_of(log, logged, columns, source)
        if steps.column == ROW and len(logs) > 1:
            raise UserError(f"{source}: {log.name} has no column of steps to join on. Give columns=step=COLUMN.")
        for meaning, choice in held.items():
            sign = -1.0 if choice.is_turned else 1.0
            metrics[meaning], more = metric_at_steps(log, choice.column, sign * values[meaning], steps, source)
            notes += [note for note in more if note not in notes]
    for meaning in REQUIRED:
        if metrics[meaning].values.empty:
            raise UserError(
                f"{source}: {chosen[meaning]} has no value at any step. Log {meaning} at three steps or more."
            )
    joined, more = _joined(metrics, chosen, source)
    shown = {meaning: f"-{choice.column}" if choice.is_turned else choice.column for meaning, choice in choices.items()}
    if _is_number(length := columns.get("length", "")):
        joined["length"], shown["length"] = float(length), length
    kinds = list(dict.fromkeys(log.kind for log in logs))
    return JoinedLog(joined, shown, (*notes, *more), names, " and ".join(kinds))


@dataclass(frozen=True)
class _Choice:
    """The column for a meaning.

    Attributes:
        column: its name.
        log: where it is.
        is_turned: whether its sign is turned round.
    """

    column: str
    log: Log
    is_turned: bool


def _choices(logs: Sequence[Log], names: Sequence[str], columns: Mapping[str, str], source: str) -> dict[str, _Choice]:
    choices: dict[str, _Choice] = {}
    for meaning in (*REQUIRED, *OTHERS):
        asked = columns.get(meaning, "")
        if meaning == "length" and _is_number(asked):
            continue
        is_turned = asked.startswith("-") and not find(asked, names)
        wanted = {**columns, meaning: asked.removeprefix("-")} if is_turned else columns
        column = choose(meaning, names, wanted, source)
        if column is None:
            continue
        same = [other for other, choice in choices.items() if choice.column == column]
        if same:
            raise UserError(f"{source}: {same[0]} and {meaning} are both {column}. Give columns={meaning}=COLUMN.")
        holders = [log for log in logs if column in log.table.columns]
        if len(holders) > 1:
            raise UserError(
                f"{source}: {column} is in {' and in '.join(log.name for log in holders)}. Give the files of one run."
            )
        choices[meaning] = _Choice(column, holders[0], is_turned)
    return choices


def _joined(metrics: Mapping[str, Metric], chosen: Mapping[str, str], source: str) -> tuple[pd.DataFrame, list[str]]:
    notes: list[str] = []
    kl, gold = metrics["kl"].values, metrics["gold"].values
    if 0 in gold.index and kl.index[0] > 0 and metrics["gold"].steps != ROW:
        kl = pd.concat([pd.Series({0.0: 0.0}), kl])
        notes.append(f"{chosen['kl']} was not logged at step 0, where the policy is the initial one: KL is 0 there")
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
    for meaning in REQUIRED:
        check_finite(metrics[meaning], steps, chosen[meaning], source)
    kl_S = _at(steps, kl[np.abs(kl) < INFINITE])
    rows = pd.DataFrame({"kl": kl_S, "gold": gold.loc[steps].to_numpy()}, index=steps)
    if len(rows) < len(gold) or len(rows) < len(kl):
        notes.append(
            f"{len(rows)} steps have both: {chosen['kl']} was logged at {len(kl)}, {chosen['gold']} at {len(gold)}"
        )
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


def _is_number(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def _span(values: pd.Series) -> str:
    return f"{values.index[0]:g} to {values.index[-1]:g}"
