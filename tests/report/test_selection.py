"""Methods, sizes, runs and laws of a report, in display order."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mlproject.report.records import Report
from mlproject.report.selection import (
    extremes,
    groups_of,
    interval,
    method_name,
    methods,
    number,
    runs_of,
    sizes,
)


def test_methods_are_in_display_order_and_unknown_ones_last(report: Report) -> None:
    extra = replace(report.policy_runs[0], method="another")
    assert methods(replace(report, policy_runs=[extra, *report.policy_runs])) == ["best-of-n", "ppo", "another"]


def test_an_unregistered_method_is_shown_by_its_capitalized_name_and_a_short_name_as_an_acronym() -> None:
    names = [method_name(method) for method in ("best-of-n", "ppo", "another", "dpo")]
    assert names == ["Best-of-n", "PPO", "Another", "DPO"]


def test_sizes_ascend_and_include_proxies_without_a_curve_only_if_no_method_is_given(report: Report) -> None:
    large = replace(report.proxies[0], rm_size="300k", rm_params=300_000)
    extended = replace(report, proxies=[large, *report.proxies])
    assert list(sizes(extended)) == ["1k", "3k", "25k", "100k", "300k"]
    assert sizes(extended, "ppo") == {"1k": 968, "3k": 3376, "25k": 25408, "100k": 100160}


def test_extremes_are_the_smallest_and_the_largest_or_the_only_size(report: Report) -> None:
    assert extremes(report, "ppo") == [("smallest", "1k"), ("largest", "100k")]
    single = replace(report, policy_runs=runs_of(report, "ppo", "25k"))
    assert extremes(single, "ppo") == [("only", "25k")]
    assert extremes(single, "best-of-n") == []


def test_runs_and_groups_of_a_method_are_ordered_by_size(report: Report) -> None:
    backwards = replace(
        report,
        policy_runs=report.policy_runs[::-1],
        laws={"groups": report.laws["groups"][::-1]},
    )
    runs = runs_of(backwards, "ppo")
    assert [(run.rm_size, run.seed) for run in runs] == [(s, i) for s in ("1k", "3k", "25k", "100k") for i in (0, 1)]
    assert [group["rm_size"] for group in groups_of(backwards, "best-of-n")] == ["1k", "3k", "25k", "100k"]
    assert groups_of(replace(report, laws={}), "ppo") == []


@pytest.mark.parametrize("missing", [None, "text", math.nan, math.inf])
def test_only_finite_numbers_count(missing: object) -> None:
    assert number(missing) is None
    assert interval([0.0, missing]) is None
    assert (number(2), interval([1, 2]), interval(None)) == (2.0, (1.0, 2.0), None)
