"""The sentences of the summary, and how numbers are formatted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mlproject.curve import Array, Curve
from mlproject.recommendation.outcome import Outcome
from mlproject.report.recommended import laws_of, outcome_of, recommendation_of, stops_of
from mlproject.report.records import Report
from mlproject.report.summary import summarize, text, with_error


def sentence(report: Report, topic: str, method: str = "PPO") -> str:
    """The sentence on a topic."""
    items = summarize(report, recommendation_of(report))
    return dict(next(item.sentences for item in items if topic in item.topic))[method]


def with_gold(report: Report, rm_size: str, change: Callable[[Curve], Array]) -> Report:
    """The report with the gold of PPO's runs against one reward model changed."""
    runs = [
        replace(run, curve=replace(run.curve, gold_SP=change(run.curve)))
        if (run.method, run.rm_size) == ("ppo", rm_size)
        else run
        for run in report.policy_runs
    ]
    return replace(report, policy_runs=runs)


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
    changed = with_gold(report, "1k", lambda curve: 5 * curve.gold_SP)
    assert re.match(r"1k \d\.\d\d \[\d\.\d\d, \d\.\d\d\] \(expected gold", sentence(changed, "highest gold"))


def test_peaks_that_cannot_be_told_apart_are_named_together(report: Report) -> None:
    like = {run.seed: run.curve for run in report.policy_runs if (run.method, run.rm_size) == ("ppo", "100k")}
    runs = [replace(run, curve=like[run.seed]) if run.method == "ppo" else run for run in report.policy_runs]
    words = sentence(replace(report, policy_runs=runs), "highest gold")
    assert all(f"{size} " in words for size in ("1k", "3k", "25k", "100k")) and "cannot be told apart" in words
    assert "unclear" in sentence(replace(report, policy_runs=runs), "larger")


def test_a_small_drop_is_called_not_significant(report: Report) -> None:
    assert "falls by" in sentence(report, "costs")
    assert "not significant" in sentence(with_group(report, 0, drop=0.02, drop_se=0.01), "costs")


def test_where_to_stop_follows_from_what_the_curve_shows(report: Report) -> None:
    assert re.search(r"1k at \d", sentence(report, "stop"))
    rising = with_gold(report, "1k", lambda curve: curve.gold_SP + 2 * curve.sqrt_kl_S[:, None])
    assert "1k not before" in sentence(rising, "stop") and "the end of the run" in sentence(rising, "stop")
    falling = with_gold(report, "1k", lambda curve: curve.gold_SP - curve.sqrt_kl_S[:, None])
    assert "1k: no gain, no recommendation" in sentence(falling, "stop")


def test_a_larger_reward_model_helps_where_peaks_rise(report: Report) -> None:
    assert sentence(report, "larger").startswith("peak gold rises with reward-model size, by +")


def test_the_laws_are_compared_by_their_error(report: Report) -> None:
    assert "smaller than the quadratic law's for 4 of 4" in sentence(report, "laws")
    changed = with_group(report, 1, rmse_by_form={"rl": 0.5, "best-of-n": 0.1})
    assert "smaller than the quadratic law's for 3 of 4" in sentence(changed, "laws")
    assert "smaller than the logarithmic law's for 4 of 4" in sentence(report, "laws", "Best-of-n")


def test_a_study_with_cures_finds_its_stops_laws_and_promotion_by_rm_size(report: Report) -> None:
    cured = {"reward": "mean", "ensemble_members": "4"}
    outcome = Outcome("promotion", "25k", "0", "1", passed=True)
    study = replace(
        report, policy_runs=[replace(run, options=cured) for run in report.policy_runs], search_runs=[], outcome=outcome
    )
    sizes = {(run.method, run.rm_size) for run in report.policy_runs}
    assert set(laws_of(study)) == sizes and set(stops_of(study)) <= sizes and stops_of(study)
    assert outcome_of(study).rm == "25k, reward=mean, ensemble_members=4"
    choice = recommendation_of(study).choice
    assert choice is not None and choice.setting.rm.endswith(", reward=mean, ensemble_members=4")
