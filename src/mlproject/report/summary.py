"""What a study found, in plain words that are computed from its data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mlproject.report.records import Report
from mlproject.report.selection import Group, groups_of, method_name, methods, number, runs_of

DASH = "–"
CLEAR_DROP = 3.0
"""A drop of this many standard errors is called a loss."""


class SummaryItem(NamedTuple):
    """One line of the summary: what it is about, and what was found, as (method, words)."""

    topic: str
    sentences: list[tuple[str, str]]


def summarize(report: Report) -> list[SummaryItem]:
    """The summary of a study; lines without data are left out."""
    found = [
        SummaryItem("Which reward model peaks highest", _per_method(report, _highest)),
        SummaryItem("Where to stop", _per_method(report, _stops)),
        SummaryItem("What going on costs the smallest", _per_method(report, _cost)),
        SummaryItem("Does a larger reward model help", _per_method(report, _ranks)),
        SummaryItem("Do the laws hold", _per_method(report, _laws)),
    ]
    return [finding for finding in found if finding.sentences]


def text(value: Any, digits: int = 2, sign: bool = False) -> str:
    """A number with a true minus sign; an en dash for null, nan, infinity and what is absent."""
    known = number(value)
    if known is None:
        return DASH
    written = f"{known:{'+' if sign else ''}.{digits}f}"
    return written[1:] if float(written) == 0 and written[0] in "-" else written.replace("-", "−")


def with_error(value: Any, error: Any, digits: int = 2) -> str:
    """`1.23 ± 0.04`, without the error where it is unknown."""
    return text(value, digits) + (f" ± {text(error, digits)}" if number(error) is not None else "")


def drop_in_se(group: Group) -> float | None:
    """How many standard errors the end lies under the peak."""
    drop, se = number(group.get("drop")), number(group.get("drop_se"))
    return drop / se if drop is not None and se else None


def past_peak(group: Group) -> bool | None:
    """Whether gold clearly fell before the run ended, so that the peak lies within it; None if unknown."""
    drop, errors = number(group.get("drop")), drop_in_se(group)
    if drop is None:
        return None
    return errors is not None and errors >= CLEAR_DROP


def _per_method(report: Report, describe: Callable[[Report, str], str]) -> list[tuple[str, str]]:
    """(name, description) of every method that has something to describe."""
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
        f"the {best['rm_size']} RM, with gold {gold} standard deviations above the initial policy "
        f"at {text(best.get('measured_peak_kl'), 1)} nats."
    )


def _stops(report: Report, method: str) -> str:
    groups = _peaked(report, method)
    if not groups:
        return ""
    open_ended = [group["rm_size"] for group in groups if past_peak(group) is False]
    places = [f"{group['rm_size']} at {text(group.get('measured_peak_kl'), 1)} nats" for group in groups]
    if not open_ended:
        return ", ".join(places) + "."
    ended = f"With {_listed(open_ended)} gold had not clearly fallen by the end, so the peak may lie later."
    return ", ".join(places) + ". " + ended


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
            f"gold of the {group['rm_size']} RM ends {drop} under its peak, {text(errors, 1)} SEs: "
            "too little to be called a loss."
        )
    return (
        f"the {group['rm_size']} RM's gold falls by {drop} from its peak to the end of the run "
        f"({text(errors, 1)} standard errors), while its proxy score changes by "
        f"{text(_proxy_rise(report, method, group['rm_size']), sign=True)}."
    )


def _proxy_rise(report: Report, method: str, rm_size: str) -> float:
    """Proxy at the end less proxy at the peak of gold, mean over seeds, standard deviations."""
    curves = [run.curve for run in runs_of(report, method, rm_size)]
    rises = [curve.proxy_S[-1] - curve.proxy_S[curve.gold_S.argmax()] for curve in curves]
    return float(np.mean(rises)) if rises else math.nan


def _ranks(report: Report, method: str) -> str:
    rows = [row for row in report.laws.get("rank_correlations") or [] if row["method"] == method]
    known = {row["seed"]: value for row in rows if (value := number(row.get("spearman"))) is not None}
    if not known:
        return ""
    values = ", ".join(f"{text(value)} (seed {seed})" for seed, value in known.items())
    if min(known.values()) > 0:
        verdict = "yes, peak gold rises with size"
    elif max(known.values()) < 0:
        verdict = "no, peak gold falls with size"
    else:
        verdict = "not in every seed"
    return f"{verdict}; rank correlation {values}."


def _laws(report: Report, method: str) -> str:
    fitted = [group for group in groups_of(report, method) if number(group.get("r2")) is not None]
    if not fitted:
        return ""
    own = fitted[0]["form"]
    name, rival, rival_name = (
        ("quadratic", "rl", "logarithmic") if own == "best-of-n" else ("logarithmic", "best-of-n", "quadratic")
    )
    worst = min(float(group["r2"]) for group in fitted)
    pairs = [[number((group.get("rmse_by_form") or {}).get(form)) for form in (own, rival)] for group in fitted]
    both = [(mine, other) for mine, other in pairs if mine is not None and other is not None]
    wins = sum(mine < other for mine, other in both)
    against = f"; it fits better than the {rival_name} form on {wins} of {len(both)} RMs" if both else ""
    return f"the {name} law explains gold with R² of {text(worst, 3)} or more on {len(fitted)} RMs{against}."
