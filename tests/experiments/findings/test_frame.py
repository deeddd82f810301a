"""A result as a table, and its groups."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from mlproject.errors import UserError
from mlproject.experiments.findings.frame import check_columns, frame, groups, in_order, label
from mlproject.experiments.results import Cell, Result


def test_a_row_contains_the_settings_the_metrics_and_the_curve_of_a_cell(result: Result) -> None:
    table = frame(result)
    assert len(table) == len(result.cells)
    for (_, row), cell in zip(table.iterrows(), result.cells, strict=True):
        assert row["curve"] is cell.curve
        assert {name: row[name] for name in (*cell.settings, *cell.metrics)} == {**cell.settings, **cell.metrics}


def test_sizes_are_ordered_by_their_parameters_not_alphabetically() -> None:
    assert in_order(["400k", "1m", "1k", "100k", "3k", "25k", "1k"]) == ["1k", "3k", "25k", "100k", "400k", "1m"]
    assert in_order(["implicit", "25k", "3k"]) == ["3k", "25k", "implicit"]  # what has no size comes last
    assert in_order([10, 9, 100]) == [9, 10, 100]
    assert in_order(["ppo", "best-of-n"]) == ["best-of-n", "ppo"]


def test_groups_contain_every_row_once_in_order(result: Result) -> None:
    grouped = list(groups(frame(result), ["method", "rm_size"]))
    assert [tuple(values.values()) for values, _ in grouped] == [
        (method, size) for method in ("best-of-n", "ppo") for size in ("1k", "3k", "100k")
    ]
    for values, rows in grouped:
        assert sorted(rows["seed"]) == [0, 1, 2]
        assert set(rows["method"]) == {values["method"]} and set(rows["rm_size"]) == {values["rm_size"]}


def test_runs_without_a_setting_form_a_group(cell: Callable[..., Cell]) -> None:
    table = frame(Result("mine", {}, [cell(), cell(kl_coef=0.1), cell(seed=1)]))
    sizes = {label(values): len(rows) for values, rows in groups(table, ["kl_coef"])}
    assert sizes == {"kl_coef 0.1": 1, "": 2}
    assert math.isnan(in_order(table["kl_coef"])[-1])


def test_without_names_there_is_one_group(result: Result) -> None:
    ((values, rows),) = groups(frame(result), [])
    assert values == {} and len(rows) == len(result.cells)


def test_an_unknown_name_is_refused_with_the_valid_ones(result: Result) -> None:
    with pytest.raises(UserError, match=r"colour=rm_sise: no policy run has it; must be one of method, rm_size, seed,"):
        check_columns(frame(result), ["rm_sise"], "colour")
    with pytest.raises(UserError, match=r"values=rm_size: is not a number; must be one of seed, rm_params, peak/gold"):
        check_columns(frame(result), ["rm_size"], "values", numbers=True)
