"""The findings of a study as sentences, computed from its data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mlproject.laws.forms import FORMS, rival_of
from mlproject.report.records import Report
from mlproject.report.selection import Group, groups_of, method_name, methods, number, runs_of

DASH = "–"
CLEAR_DROP = 3.0
"""A drop counts as significant from this many standard errors on."""


class SummaryItem(NamedTuple):
    """One topic of the summary, with a sentence per method: (method, sentence)."""

    topic: str
    sentences: list[tuple[str, str]]


def summarize(report: Report) -> list[SummaryItem]:
    """The summary of a study; topics without data are left out."""
    items = [
        SummaryItem("Which reward model reaches the highest gold", _per_method(report, _highest)),
        SummaryItem("Where to stop", _per_method(report, _stops)),
        SummaryItem("What over-optimization costs with the smallest reward model", _per_method(report, _cost)),
        SummaryItem("Does a larger reward model help", _per_method(report, _ranks)),
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


def past_peak(group: Group) -> bool | None:
    """Whether gold dropped significantly before the run ended, so that the peak was reached; None if unknown."""
    drop, errors = number(group.get("drop")), drop_in_se(group)
    if drop is None:
        return None
    return errors is not None and errors >= CLEAR_DROP


def _per_method(report: Report, describe: Callable[[Report, str], str]) -> list[tuple[str, str]]:
    """(method, sentence) of every method that has data."""
    described = [(method_name(method), describe(report, method)) for method in methods(report)]
    return [(name, words) for name, words in described if words]


def _peaked(report: Report, method: str) -> list[Group]:
    return [g for g in groups_of(report, method) if number(g.get("measured_peak_gold")) is not None]


def _highest(report: Report, method: str) -> str:
    groups = _peaked(report, method)
    if not groups:
        return ""
    best = max(groups, key=lambda group: group["measured_peak_gold"])
    gold = with_error(best["measured_peak_gold"], best.get("measured_peak_gold_se"))
    return (
        f"the {best['rm_size']} RM: peak gold {gold} standard deviations above the initial policy, "
        f"at {text(best.get('measured_peak_kl'), 1)} nats."
    )


def _stops(report: Report, method: str) -> str:
    groups = _peaked(report, method)
    if not groups:
        return ""
    not_reached = [group["rm_size"] for group in groups if past_peak(group) is False]
    peaks = [f"{group['rm_size']} at {text(group.get('measured_peak_kl'), 1)} nats" for group in groups]
    if not not_reached:
        return ", ".join(peaks) + "."
    caveat = f"With {_listed(not_reached)}, gold had not dropped significantly by the end, so the peak may be later."
    return ", ".join(peaks) + ". " + caveat


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _cost(report: Report, method: str) -> str:
    groups = groups_of(report, method)
    errors = drop_in_se(groups[0]) if groups else None
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


def _ranks(report: Report, method: str) -> str:
    rows = [row for row in report.laws.get("rank_correlations") or [] if row["method"] == method]
    by_seed = {row["seed"]: value for row in rows if (value := number(row.get("spearman"))) is not None}
    if not by_seed:
        return ""
    values = ", ".join(f"{text(value)} (seed {seed})" for seed, value in by_seed.items())
    if min(by_seed.values()) > 0:
        answer = "yes, peak gold rises with RM size"
    elif max(by_seed.values()) < 0:
        answer = "no, peak gold falls with RM size"
    else:
        answer = "not with every seed"
    return f"{answer}: rank correlation {values}."


def _laws(report: Report, method: str) -> str:
    fitted = [group for group in groups_of(report, method) if number(group.get("r2")) is not None]
    if not fitted:
        return ""
    law = FORMS[fitted[0]["form"]]
    rival = rival_of(law)
    worst = min(float(group["r2"]) for group in fitted)
    pairs = [[number((group.get("rmse_by_form") or {}).get(form.name)) for form in (law, rival)] for group in fitted]
    complete = [(rmse, other) for rmse, other in pairs if rmse is not None and other is not None]
    wins = sum(rmse < other for rmse, other in complete)
    against = f"; it fits better than the {rival.title} law for {wins} of {len(complete)} RMs" if complete else ""
    return f"the {law.title} law fits gold with R² ≥ {text(worst, 3)} for {len(fitted)} RMs{against}."
