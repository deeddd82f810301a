"""A curve that was logged elsewhere, in this project's units.

Axis letters: S curve points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlproject.curve import Curve, CurvePoint
from mlproject.errors import UserError
from mlproject.laws import MIN_D, fit_form, law_for, points_from_summaries
from mlproject.laws.summaries import CORRELATION
from mlproject.optimization import find_method
from mlproject.report.logs.join import JoinedLog
from mlproject.report.logs.notices import LOWEST_KL, is_own_unit, notices
from mlproject.report.own_curve import points_like

START_KL = 0.002
"""A point up to this KL (nats) counts as the initial policy: gold is proportional to sqrt(KL) near the start."""

PROMPTS = 256
"""Pseudo-prompts behind every point."""

MOST_POINTS = PROMPTS - 2
"""Points of a curve, as many as that many pseudo-prompts can tell apart; of more rows, neighbours are averaged."""

KL_UNITS = {"nats": 1.0, "bits": float(np.log(2))}
"""Nats in each unit of KL."""

LARGEST_KL = 1e6
"""Nats per response that no policy reaches: 10,000 tokens, each of which the initial policy gives e^-100."""

PLAUSIBLE_GOLD = 1e-6, 1e4
"""Largest distance of gold from its start, in `gold_sd`: outside of it `gold_sd` or gold is in no sensible unit."""

LARGEST_PROXY = 1e9
"""Size of a proxy score, in its own unit, beyond which it is no score."""

NOISE_KL = 0.1, 0.05
"""Share of the largest KL, and nats, up to which a KL below 0 passes for the noise of an estimate."""


@dataclass(frozen=True)
class LoggedCurve:
    """A curve that was logged elsewhere, in this project's units.

    Attributes:
        points: in order of KL; gold relative to the initial policy's, in units of `gold_sd`; the proxy as logged.
        table: the same numbers, one row per point, with columns `kl`, `gold`, `gold_se`, and, where known, `proxy` and
            `step`.
        gold_start: the initial policy's gold, which was subtracted.
        se_is_guessed: whether the standard error was estimated from the scatter.
        unit_is_unknown: whether gold seems to be in its scorer's own unit, which nothing says in standard deviations.
        has_prompts: whether every prompt's own scores are known; otherwise pseudo-prompts stand for them.
        read_as: what the source was recognised as, and which columns were read; one line.
        notes: what was noticed, and which option to give; one line each.
    """

    points: list[CurvePoint]
    table: pd.DataFrame
    gold_start: float
    se_is_guessed: bool
    read_as: str
    notes: tuple[str, ...]
    has_prompts: bool = False
    unit_is_unknown: bool = False


@np.errstate(over="ignore", invalid="ignore")  # what overflows is refused as implausible
def logged_curve(
    joined: JoinedLog,
    source: str,
    method: str,
    gold_sd: float | None = None,
    gold_start: float | None = None,
    kl_unit: str = "nats",
    own: Curve | None = None,
) -> LoggedCurve:
    """Convert a joined log to this project's units.

    Args:
        joined: KL and gold, joined on step.
        source: the option and its value, for error messages.
        method: the method that optimized the policy; its law is used to estimate missing standard errors.
        gold_sd: standard deviation of the initial policy's gold scores, in the log's unit; None: 1, with a word where
            gold seems to be in another unit.
        gold_start: their mean; None uses the gold of the points up to `START_KL`.
        kl_unit: a name of `KL_UNITS`.
        own: every prompt's own scores, if this project wrote them with the log; used where they are the log's points.

    Raises:
        UserError: one line that names what was given, what must hold, and what to do.
    """
    unit = 1.0 if gold_sd is None else gold_sd
    if not np.isfinite(unit) or unit <= 0:
        raise UserError(
            f"gold_sd={unit:g}: must be above 0. Give the standard deviation of the initial policy's gold scores."
        )
    if gold_start is not None and not np.isfinite(gold_start):
        raise UserError(
            f"gold_start={gold_start:g}: must be finite. Give the mean of the initial policy's gold scores."
        )
    if kl_unit not in KL_UNITS:
        raise UserError(f"kl_unit={kl_unit}: must be one of {', '.join(KL_UNITS)}.")
    notes = list(joined.notes)
    numbers = _in_nats(joined, kl_unit, source)
    numbers = _without_negative_kl(numbers, joined, source, notes)
    numbers = numbers.sort_values("kl", kind="stable", ignore_index=True)
    if gold_start is None:
        at_start = numbers.gold[numbers.kl <= START_KL]
        if at_start.empty:
            raise UserError(
                f"{source}: starts at {numbers.kl.min():.3g} nats, so the initial policy's gold is unknown. "
                "Give gold_start=MEAN."
            )
        gold_start = float(at_start.mean())
    gold_S = (numbers.gold - gold_start) / unit
    farthest = float(gold_S.abs().max())
    if not PLAUSIBLE_GOLD[0] <= farthest <= PLAUSIBLE_GOLD[1]:
        raise UserError(
            f"{source}: gold moves by at most {farthest:.3g} gold_sd from its start, {gold_start:.3g}; it must be "
            f"{PLAUSIBLE_GOLD[0]:g} to {PLAUSIBLE_GOLD[1]:g}. Correct gold_sd={unit:g}, gold_start or gold's column."
        )
    if "proxy" in numbers and numbers.proxy.abs().max() > LARGEST_PROXY:
        raise UserError(
            f"{source}: column {joined.columns['proxy']} holds {numbers.proxy.abs().max():.3g}; a score must be "
            f"at most {LARGEST_PROXY:g}. Give columns=proxy=COLUMN."
        )
    described = JoinedLog(numbers, joined.columns, (), joined.names, joined.kind)
    trains_policy = find_method(method).trains_policy
    notes += notices(described, gold_start, gold_sd, kl_unit, method_kl_n=not trains_policy)
    numbers["gold"] = gold_S
    measured = points_like(own, numbers)
    unit_is_unknown = measured is None and gold_sd is None and is_own_unit(gold_start, farthest)
    if measured is not None:
        gold_start = 0.0
        numbers["gold"], numbers["gold_se"] = [p.gold for p in measured], [p.gold_se for p in measured]
    numbers, guessed = _with_errors(numbers, source, method, unit)
    if not np.array_equal(numbers.step, numbers.step.round()):
        notes.append("steps are not whole numbers; the points are numbered from 0 in their order")
        numbers["step"] = numbers.step.rank(method="first") - 1
    if len(numbers) > MOST_POINTS and measured is None:
        notes.append(f"thinned: {len(numbers)} rows are averaged to {MOST_POINTS} points, neighbours in KL together")
        numbers = thinned(numbers)
    table = numbers[[name for name in _TABLE if name in numbers]]
    points = measured or points_from_summaries(
        numbers.step.astype(int).tolist(),
        numbers.kl.tolist(),
        numbers.gold.tolist(),
        numbers.gold_se.tolist(),
        numbers.proxy.tolist() if "proxy" in numbers else None,
        prompts=PROMPTS,
    )
    columns = ", ".join(f"{meaning} from {column}" for meaning, column in joined.columns.items() if meaning != column)
    per = "token times length" if "length" in joined.columns else "response"
    assumed = "" if "length" in joined.columns or kl_unit != "nats" else _OTHER_UNITS
    less = f" less {gold_start:.3g}, its value at the start," if gold_start else ""
    units = f"KL in {kl_unit} per {per}{assumed}, gold{less} in units of {unit:g}"
    scores = "; with every prompt's own scores, which lie beside it" if measured else ""
    read_as = f"read as {joined.kind}: {columns + '; ' if columns else ''}{units}{scores}"
    return LoggedCurve(points, table, gold_start, guessed, read_as, tuple(notes), measured is not None, unit_is_unknown)


_OTHER_UNITS = " (otherwise kl_unit=bits, or columns=length=COLUMN for KL per token)"
_TABLE = ("kl", "gold", "gold_se", "proxy", "step")


def thinned(numbers: pd.DataFrame) -> pd.DataFrame:
    """Rows in order of KL, averaged to `MOST_POINTS` points of about as many neighbours each.

    The rows at the start stay one point, since they are the initial policy. KL is averaged as its square root, in which
    the laws are nearly straight. The errors of rows are taken to be correlated, as everywhere here (`CORRELATION`).
    """
    at_start = int((numbers.kl <= START_KL).sum())
    later = MOST_POINTS - (at_start > 0)
    edges = np.linspace(at_start, len(numbers), later + 1).round()
    group = np.searchsorted(edges, np.arange(len(numbers)), side="right")
    grouped = numbers.assign(kl=np.sqrt(numbers.kl)).groupby(group)
    mean = grouped.mean()
    count = grouped.size()
    mean["kl"] = np.square(mean.kl)
    mean["gold_se"] = mean.gold_se * np.sqrt(CORRELATION + (1 - CORRELATION) / count)
    mean["step"] = grouped.step.last()
    return mean.reset_index(drop=True)


def _in_nats(joined: JoinedLog, kl_unit: str, source: str) -> pd.DataFrame:
    numbers = joined.numbers.copy()
    if "length" in numbers:
        if (numbers.length <= 0).any():
            raise UserError(
                f"{source}: {joined.columns['length']} holds {numbers.length.min():g}; a length must be above 0. "
                "Give columns=length=COLUMN."
            )
        numbers["kl"] *= numbers.length
    numbers["kl"] *= KL_UNITS[kl_unit]
    largest = int(numbers.kl.abs().argmax())
    if abs(numbers.kl.iloc[largest]) > LARGEST_KL:
        raise UserError(
            f"{source}: step {numbers.step.iloc[largest]:g}: a KL of {numbers.kl.iloc[largest]:.3g} nats per response "
            f"must be an error (at most {LARGEST_KL:g}). Give the KL from the initial policy."
        )
    return numbers


def _without_negative_kl(numbers: pd.DataFrame, joined: JoinedLog, source: str, notes: list[str]) -> pd.DataFrame:
    """Leave out points whose KL lies below 0 by noise; the first, which is the initial policy, has 0. Refuse more."""
    column = joined.columns["kl"]
    negative = numbers.kl < -START_KL
    count = int(negative.sum())
    if not count:
        return numbers.assign(kl=numbers.kl.clip(lower=0))
    lowest, step = float(numbers.kl.min()), float(numbers.step.iloc[int(numbers.kl.argmin())])
    where = f"{column} is below 0 at {count} of {len(numbers)} steps ({lowest:.3g} nats at step {step:g})"
    if count > len(numbers) / 2:
        raise UserError(f"{source}: {where}; a KL is at least 0. Turn its sign round with columns=kl=-{column}.")
    if -lowest > max(NOISE_KL[0] * numbers.kl.max(), NOISE_KL[1]):
        raise UserError(
            f"{source}: {where}; a KL must be at least 0. Give columns=kl=COLUMN with an exact KL or the k3 estimate."
        )
    notes.append(
        f"{where}, by the noise of an estimate; left out, and 0 at the first step. "
        "Better give columns=kl=COLUMN with an exact KL or the k3 estimate"
    )
    kept = numbers[~negative | (numbers.step == numbers.step.min())]
    return kept.assign(kl=kept.kl.clip(lower=0))


def _with_errors(numbers: pd.DataFrame, source: str, method: str, unit: float) -> tuple[pd.DataFrame, bool]:
    """Standard errors in the law's unit, and whether they are estimated from the scatter about the law."""
    form = law_for(find_method(method))
    try:
        law = fit_form(form, np.sqrt(numbers.kl), numbers.gold, MIN_D[form.name])
    except ValueError:
        used, largest = int((numbers.kl > MIN_D[form.name] ** 2).sum()), float(numbers.kl.max())
        hint = ", or, if KL is per token, give columns=length=COLUMN" if largest < LOWEST_KL else ""
        raise UserError(
            f"{source}: {used} of {len(numbers)} points lie beyond {MIN_D[form.name] ** 2:.2g} nats, the largest KL is "
            f"{largest:.3g}; a law needs 3+ points with distinct KL there. Log more points{hint}."
        ) from None
    if "gold_se" not in numbers:
        scatter = law.rmse * np.sqrt(law.points / max(law.points - form.dof, 1))
        return numbers.assign(gold_se=np.where(numbers.kl > START_KL, scatter, 0.0)), True
    if (numbers.gold_se < 0).any():
        raise UserError(f"{source}: column gold_se contains {numbers.gold_se.min():g}; it must not be negative.")
    errors = numbers.gold_se / unit
    if errors.max() > PLAUSIBLE_GOLD[1]:
        raise UserError(
            f"{source}: column gold_se contains {numbers.gold_se.max():.3g}, {errors.max():.3g} gold_sd; it must "
            f"be at most {PLAUSIBLE_GOLD[1]:g} of them. Give columns=gold_se=COLUMN or correct gold_sd."
        )
    if errors[numbers.kl > START_KL].min() < PLAUSIBLE_GOLD[0]:
        raise UserError(
            f"{source}: column gold_se must be above {PLAUSIBLE_GOLD[0]:g} gold_sd behind the start, but falls to "
            f"{errors[numbers.kl > START_KL].min():.3g}. Correct it, or rename it: errors are then estimated."
        )
    return numbers.assign(gold_se=errors), False
