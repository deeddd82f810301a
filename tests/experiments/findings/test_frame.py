"""A result as a table, and its groups."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from mlproject.errors import UserError
from mlproject.experiments.findings.frame import check_columns, frame, groups, in_order, label
from mlproject.experiments.results import Cell, Result


def test_a_row_holds_the_settings_the_metrics_and_the_curve_of_a_cell(result: Result) -> None:
    table = frame(result)
    assert len(table) == len(result.cells)
    for (_, row), cell in zip(table.iterrows(), result.cells, strict=True):
        assert row["curve"] is cell.curve
        assert {name: row[name] for name in (*cell.settings, *cell.metrics)} == {**cell.settings, **cell.metrics}


def test_sizes_go_by_their_parameters_and_not_by_the_alphabet() -> None:
    assert in_order(["400k", "1m", "1k", "100k", "3k", "25k", "1k"]) == ["1k", "3k", "25k", "100k", "400k", "1m"]
    assert in_order([10, 9, 100]) == [9, 10, 100]
    assert in_order(["ppo", "best-of-n"]) == ["best-of-n", "ppo"]


def test_groups_hold_every_row_once_in_order(result: Result) -> None:
    found = list(groups(frame(result), ["method", "rm_size"]))
    assert [tuple(values.values()) for values, _ in found] == [
        (method, size) for method in ("best-of-n", "ppo") for size in ("1k", "3k", "100k")
    ]
    for values, rows in found:
        assert sorted(rows["seed"]) == [0, 1, 2]
        assert set(rows["method"]) == {values["method"]} and set(rows["rm_size"]) == {values["rm_size"]}


def test_runs_without_a_setting_make_a_group_of_their_own(cell: Callable[..., Cell]) -> None:
    table = frame(Result("mine", {}, [cell(), cell(kl_coef=0.1), cell(seed=1)]))
    sizes = {label(values): len(rows) for values, rows in groups(table, ["kl_coef"])}
    assert sizes == {"kl_coef 0.1": 1, "": 2}
    assert math.isnan(in_order(table["kl_coef"])[-1])


def test_no_names_make_one_group_of_everything(result: Result) -> None:
    ((values, rows),) = groups(frame(result), [])
    assert values == {} and len(rows) == len(result.cells)


def test_a_name_that_no_run_has_is_told_with_those_that_exist(result: Result) -> None:
    with pytest.raises(UserError, match=r"colour=rm_sise: no policy run has that; there are method, rm_size, seed,"):
        check_columns(frame(result), ["rm_sise"], "colour")
    with pytest.raises(UserError, match=r"values=rm_size: is not a number; there are seed, rm_params, peak/gold"):
        check_columns(frame(result), ["rm_size"], "values", numbers=True)
