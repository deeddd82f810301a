"""The summary in plain words, and how numbers are written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlproject.report.records import Report
from mlproject.report.summary import past_peak, summarize, text, with_error


def words(report: Report, topic: str, method: str = "PPO") -> str:
    """What the summary says about a topic."""
    return dict(next(finding.sentences for finding in summarize(report) if topic in finding.topic))[method]


def with_group(report: Report, index: int, **changes: Any) -> Report:
    """The report with one of PPO's groups changed."""
    groups = [dict(group) for group in report.laws["groups"]]
    [group for group in groups if group["method"] == "ppo"][index].update(changes)
    return replace(report, laws={**report.laws, "groups": groups})


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "–"), (float("nan"), "–"), (float("inf"), "–"), (-0.001, "0.00"), (-1.234, "−1.23"), (2, "2.00")],
)
def test_a_number_is_written_for_people(value: float | None, written: str) -> None:
    assert text(value) == written


def test_an_unknown_error_is_left_out() -> None:
    assert with_error(1.0, None) == "1.00" and with_error(1.0, 0.05) == "1.00 ± 0.05"


def test_the_highest_peak_follows_the_data_not_the_size(report: Report) -> None:
    changed = with_group(report, 0, measured_peak_gold=9.0)
    assert words(changed, "peaks highest").startswith("the 1k RM, with gold 9.00")


def test_a_small_drop_is_not_called_a_loss(report: Report) -> None:
    assert "falls by" in words(report, "costs")
    assert "too little" in words(with_group(report, 0, drop=0.02, drop_se=0.01), "costs")


@pytest.mark.parametrize(
    ("drop", "drop_se", "past"), [(0.5, 0.1, True), (0.2, 0.1, False), (0.0, 0.0, False), (None, None, None)]
)
def test_a_peak_lies_within_the_run_only_if_gold_clearly_fell(
    drop: float | None, drop_se: float | None, past: bool | None
) -> None:
    assert past_peak({"drop": drop, "drop_se": drop_se}) is past


def test_sizes_that_have_not_fallen_are_named_where_to_stop(report: Report) -> None:
    clear = report
    for index in range(4):
        clear = with_group(clear, index, drop=1.0, drop_se=0.1)
    assert "may lie later" not in words(clear, "stop")
    assert "With 100k gold" in words(with_group(clear, 3, drop=0.1), "stop")


@pytest.mark.parametrize(
    ("values", "verdict"), [((1.0, 0.8), "yes"), ((-1.0, -0.4), "no,"), ((0.8, -0.2), "not in every seed")]
)
def test_the_verdict_on_size_follows_the_rank_correlations(
    report: Report, values: tuple[float, float], verdict: str
) -> None:
    ranks = [{"method": "ppo", "seed": seed, "spearman": value} for seed, value in enumerate(values)]
    changed = replace(report, laws={**report.laws, "rank_correlations": ranks})
    assert words(changed, "larger").startswith(verdict)


def test_the_laws_are_compared_by_their_error(report: Report) -> None:
    assert "better than the quadratic form on 4 of 4" in words(report, "laws")
    changed = with_group(report, 1, rmse_by_form={"rl": 0.5, "best-of-n": 0.1})
    assert "better than the quadratic form on 3 of 4" in words(changed, "laws")
    assert "better than the logarithmic form on 4 of 4" in words(report, "laws", "Best-of-n")
