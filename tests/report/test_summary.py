"""The sentences of the summary, and how numbers are formatted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlproject.report.records import Report
from mlproject.report.summary import past_peak, summarize, text, with_error


def sentence(report: Report, topic: str, method: str = "PPO") -> str:
    """The sentence on a topic."""
    return dict(next(item.sentences for item in summarize(report) if topic in item.topic))[method]


def with_group(report: Report, index: int, **changes: Any) -> Report:
    """The report with one of PPO's groups changed."""
    groups = [dict(group) for group in report.laws["groups"]]
    [group for group in groups if group["method"] == "ppo"][index].update(changes)
    return replace(report, laws={**report.laws, "groups": groups})


@pytest.mark.parametrize(
    ("value", "formatted"),
    [(None, "–"), (float("nan"), "–"), (float("inf"), "–"), (-0.001, "0.00"), (-1.234, "−1.23"), (2, "2.00")],
)
def test_numbers_are_formatted(value: float | None, formatted: str) -> None:
    assert text(value) == formatted


def test_an_unknown_error_is_left_out() -> None:
    assert with_error(1.0, None) == "1.00" and with_error(1.0, 0.05) == "1.00 ± 0.05"


def test_the_highest_peak_follows_the_data_not_the_size(report: Report) -> None:
    changed = with_group(report, 0, measured_peak_gold=9.0)
    assert sentence(changed, "highest gold").startswith("the 1k RM: peak gold 9.00")


def test_a_small_drop_is_called_not_significant(report: Report) -> None:
    assert "falls by" in sentence(report, "costs")
    assert "not significant" in sentence(with_group(report, 0, drop=0.02, drop_se=0.01), "costs")


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
    assert "may be later" not in sentence(clear, "stop")
    assert "With 100k, gold" in sentence(with_group(clear, 3, drop=0.1), "stop")


@pytest.mark.parametrize(
    ("values", "answer"), [((1.0, 0.8), "yes"), ((-1.0, -0.4), "no,"), ((0.8, -0.2), "not with every seed")]
)
def test_the_answer_on_size_follows_the_rank_correlations(
    report: Report, values: tuple[float, float], answer: str
) -> None:
    ranks = [{"method": "ppo", "seed": seed, "spearman": value} for seed, value in enumerate(values)]
    changed = replace(report, laws={**report.laws, "rank_correlations": ranks})
    assert sentence(changed, "larger").startswith(answer)


def test_the_laws_are_compared_by_their_error(report: Report) -> None:
    assert "better than the quadratic law for 4 of 4" in sentence(report, "laws")
    changed = with_group(report, 1, rmse_by_form={"rl": 0.5, "best-of-n": 0.1})
    assert "better than the quadratic law for 3 of 4" in sentence(changed, "laws")
    assert "better than the logarithmic law for 4 of 4" in sentence(report, "laws", "Best-of-n")
