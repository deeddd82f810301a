"""The findings of a study as sentences, computed from its data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlproject.laws.forms import FORMS, rival_of
from mlproject.recommendation.recommend import Evaluated, Recommendation, undominated
from mlproject.recommendation.sentences import trend_sentence, window_text
from mlproject.recommendation.setting import spread_of
from mlproject.recommendation.stop import Progress, Stop
from mlproject.recommendation.trend import SizeTrend
from mlproject.recommendation.words import distance, interval_text
from mlproject.report.recommended import laws_of
from mlproject.report.records import Report
from mlproject.report.selection import Group, groups_of, method_name, methods, number, runs_of

DASH = "–"
CLEAR_DROP = 3.0
"""A drop counts as significant from this many standard errors on."""


class SummaryItem(NamedTuple):
    """One topic of the summary, with a sentence per method: (method, sentence)."""

    topic: str
    sentences: list[tuple[str, str]]


def summarize(report: Report, recommendation: Recommendation) -> list[SummaryItem]:
    """The summary of a study, below its recommendation; topics without data are left out."""
    items = [
        SummaryItem("Which reward models reach the highest gold", _per_setting(recommendation, _highest)),
        SummaryItem("Where to stop", _per_setting(recommendation, _stops)),
        SummaryItem("What over-optimization costs with the smallest reward model", _per_method(report, _cost)),
        SummaryItem("Does a larger reward model help", [_trend(trend) for trend in recommendation.trends]),
        SummaryItem("Do the laws fit", _per_method(report, _laws)),
    ]
    return [item for item in items if item.sentences]


def text(value: Any, digits: int = 2, sign: bool = False) -> str:
    """A number with a typographic minus sign; an en dash for null, nan, infinity and missing values."""
    finite = number(value)
    if finite is None:
        return DASH
    formatted = f"{finite:{'+' if sign else ''}.{digits}f}"
    return formatted[1:] if float(formatted) == 0 and formatted[0] == "-" else formatted.replace("-", "−")


def with_error(value: Any, error: Any, digits: int = 2) -> str:
    """`1.23 ± 0.04`; without the error if it is unknown."""
    return text(value, digits) + (f" ± {text(error, digits)}" if number(error) is not None else "")


def drop_in_se(group: Group) -> float | None:
    """Drop from the peak to the end of the run, in standard errors; None if unknown."""
    drop, se = number(group.get("drop")), number(group.get("drop_se"))
    return drop / se if drop is not None and se else None


def _per_method(report: Report, describe: Callable[[Report, str], str]) -> list[tuple[str, str]]:
    """(method, sentence) of every method that has data."""
    described = [(method_name(method), describe(report, method)) for method in methods(report)]
    return [(name, words) for name, words in described if words]


def _per_setting(
    recommendation: Recommendation, describe: Callable[[Sequence[Evaluated]], str]
) -> list[tuple[str, str]]:
    """(method, sentence) about the planned settings of every method, smallest reward model first."""
    planned = [each for each in recommendation.evaluated if not each.setting.from_search]
    names = dict.fromkeys(each.setting.method for each in planned)
    return [(method_name(name), describe([e for e in planned if e.setting.method == name])) for name in names]


def _highest(evaluated: Sequence[Evaluated]) -> str:
    """The reward models that no other one is better than, with their peaks."""
    gaining = [each for each in evaluated if each.stop.is_recommended]
    if not gaining:
        return "none: gold rises nowhere above the initial policy's by more than noise."
    settings = [each.setting for each in gaining]
    best = [gaining[i] for i in undominated(settings, {settings[0].method: spread_of(settings)})]
    best.sort(key=lambda each: -each.stop.gold)
    peaks = [f"{each.setting.rm} {text(each.stop.gold)} {interval_text(each.stop.gold_interval)}" for each in best]
    together = " cannot be told apart" if len(best) > 1 else ""
    return f"{_listed(peaks)}{together} (expected gold of one run at its peak, 95 %)."


def _stops(evaluated: Sequence[Evaluated]) -> str:
    """Where to stop with every reward model, or why nothing can be said."""
    words = []
    for progress, verb in (
        (Progress.PEAKED, "at"),
        (Progress.NOT_REACHED, "not before"),
        (Progress.NO_GAIN, ""),
        (Progress.NOT_MOVED, ""),
    ):
        of_kind = [each for each in evaluated if each.stop.progress is progress]
        if not of_kind:
            continue
        if verb:
            words += [f"{e.setting.rm} {verb} {kl_range(e.setting.method, e.stop)}" for e in of_kind]
        else:
            words.append(f"{_listed([each.setting.rm for each in of_kind])}: {progress}, no recommendation")
    return "; ".join(words) + "."


def kl_range(method: str, stop: Stop) -> str:
    """`8.1 nats (update 40), as good: 5.2 to 12 nats`."""
    if stop.progress is Progress.NOT_REACHED:
        return f"{distance(method, stop.advised_kl, stop.advised_step)}, the end of the run"
    window = window_text(method, stop)
    return distance(method, stop.advised_kl, stop.advised_step) + (f", as good: {window}" if window else "")


def _trend(trend: SizeTrend) -> tuple[str, str]:
    """(method, sentence) on one trend."""
    name, sentence = trend_sentence(trend).split(": ", 1)
    return name, sentence


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _cost(report: Report, method: str) -> str:
    groups = groups_of(report, method)
    errors = drop_in_se(groups[0]) if groups and report.knows_sizes else None
    if errors is None:
        return ""
    group = groups[0]
    drop = with_error(group["drop"], group["drop_se"])
    if errors < CLEAR_DROP:
        return (
            f"with the {group['rm_size']} RM, gold ends {drop} below its peak, {text(errors, 1)} standard errors: "
            "not significant."
        )
    return (
        f"with the {group['rm_size']} RM, gold falls by {drop} from its peak to the end of the run "
        f"({text(errors, 1)} standard errors), while the proxy score changes by "
        f"{text(_proxy_rise(report, method, group['rm_size']), sign=True)}."
    )


def _proxy_rise(report: Report, method: str, rm_size: str) -> float:
    """Proxy score at the end minus that at the gold peak, mean over seeds, standard deviations."""
    curves = [run.curve for run in runs_of(report, method, rm_size)]
    rises = [curve.proxy_S[-1] - curve.proxy_S[curve.gold_S.argmax()] for curve in curves]
    return float(np.mean(rises)) if rises else math.nan


def _laws(report: Report, method: str) -> str:
    fitted = [group for group in groups_of(report, method) if number(group.get("r2")) is not None]
    if not fitted:
        return ""
    law = FORMS[fitted[0]["form"]]
    rival, peaks = rival_of(law), laws_of(report)
    fits = [g["rm_size"] for g in fitted if (peak := peaks.get((method, g["rm_size"]))) and peak.fits]
    pairs = [[number((group.get("rmse_by_form") or {}).get(form.name)) for form in (law, rival)] for group in fitted]
    complete = [(rmse, other) for rmse, other in pairs if rmse is not None and other is not None]
    wins = sum(rmse < other for rmse, other in complete)
    against = f"; its error is smaller than the {rival.title} law's for {wins} of {len(complete)}" if complete else ""
    which = f" ({_listed(fits)})" if 0 < len(fits) < len(fitted) else ""
    faint = " Where it does not, it is drawn faint and its peak is not quoted." if len(fits) < len(fitted) else ""
    return (
        f"the {law.title} law fits gold within the errors of the points for {len(fits)} of {len(fitted)} RMs{which}"
        f"{against}.{faint}"
    )
