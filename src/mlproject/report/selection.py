"""Selections from the data of a report: its methods, RM sizes, and their runs and fitted laws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mlproject.optimization import METHODS, find_method
from mlproject.report.records import PolicyRunRecord, Report

Group = Mapping[str, Any]


def method_name(method: str) -> str:
    """Display name of a method."""
    return find_method(method).title


def methods(report: Report) -> list[str]:
    """Methods that have curves, in display order."""
    names, registered = {run.method for run in report.policy_runs}, list(METHODS)
    return sorted(names, key=lambda name: (registered.index(name) if name in METHODS else len(registered), name))


def sizes(report: Report, method: str | None = None) -> dict[str, int]:
    """Number of parameters by RM size, smallest first; of the curves of one method if given."""
    params = {run.rm_size: run.rm_params for run in report.policy_runs if method in (None, run.method)}
    if method is None:
        params |= {proxy.rm_size: proxy.rm_params for proxy in report.proxies}
    return dict(sorted(params.items(), key=lambda item: item[1]))


def extremes(report: Report, method: str) -> list[tuple[str, str]]:
    """(role, RM size) of a method's smallest and largest RM; a single one if there is one size.

    Where sizes are not known, those of the highest and of the lowest peak gold.
    """
    names = list(sizes(report, method))
    if len(names) < 2:
        return [("only", name) for name in names]
    if not report.knows_sizes:
        names.sort(key=lambda name: -max(run.curve.peak().gold for run in runs_of(report, method, name)))
        return [("best", names[0]), ("worst", names[-1])]
    return [("smallest", names[0]), ("largest", names[-1])]


def runs_of(report: Report, method: str, rm_size: str | None = None) -> list[PolicyRunRecord]:
    """Policy runs of a method (and an RM size), by RM size and seed."""
    runs = [run for run in report.policy_runs if run.method == method and rm_size in (None, run.rm_size)]
    return sorted(runs, key=lambda run: (run.rm_params, run.seed))


def groups_of(report: Report, method: str) -> list[Group]:
    """Fitted laws of a method, smallest RM first."""
    groups = [group for group in report.laws.get("groups") or [] if group["method"] == method]
    return sorted(groups, key=lambda group: group["rm_params"])


def number(value: Any) -> float | None:
    """A finite number; None for null, nan, infinity and text."""
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return None
    return float(value)


def interval(pair: Any) -> tuple[float, float] | None:
    """(low, high) if both ends are finite numbers, else None."""
    low, high = (number(end) for end in pair) if pair else (None, None)
    return None if low is None or high is None else (low, high)
