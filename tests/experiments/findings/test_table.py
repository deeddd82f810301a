"""The table of an experiment: means over seeds, with intervals."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pandas as pd
import pytest

from mlproject.errors import UserError
from mlproject.experiments.findings.table import tabulate, to_markdown
from mlproject.experiments.results import Cell, Result

T_975 = {1: 12.706, 2: 4.303}  # Student's t, from a printed table


def test_a_cell_is_the_mean_over_seeds_with_its_t_interval(result: Result) -> None:
    table = tabulate(result, {"rows": "rm_size", "columns": "method", "values": ["peak/gold"]})
    for method in ("best-of-n", "ppo"):
        for size, text in zip(table["rm_size"], table[f"peak/gold ({method})"], strict=True):
            of_group = [c for c in result.cells if (c.settings["method"], c.settings["rm_size"]) == (method, size)]
            values = [cell.metrics["peak/gold"] for cell in of_group]
            half = T_975[2] * statistics.stdev(values) / 3**0.5
            assert text == f"{statistics.mean(values):.2f} ± {half:.2f}"


def test_rows_are_ordered_by_size(result: Result) -> None:
    assert tabulate(result, {"rows": "rm_size", "values": "peak/gold"})["rm_size"].tolist() == ["1k", "3k", "100k"]


def test_a_single_run_has_only_a_mean_and_a_group_without_runs_is_empty(cell: Callable[..., Cell]) -> None:
    cells = [cell(0.51234, rm_size="1k"), cell(0.25, rm_size="3k", method="best-of-n")]
    table = tabulate(Result("mine", {}, cells), {"rows": "rm_size", "columns": "method", "values": ["peak/gold"]})
    assert table.to_dict("list") == {
        "rm_size": ["1k", "3k"],
        "peak/gold (best-of-n)": ["", "0.25"],
        "peak/gold (ppo)": ["0.512", ""],
    }


def test_digits_follow_from_the_interval(cell: Callable[..., Cell]) -> None:
    heights = {"1k": (100.0, 300.0), "3k": (0.50001, 0.50003), "25k": (0.5, 0.5)}
    cells = [cell(h, rm_size=size, seed=seed) for size, both in heights.items() for seed, h in enumerate(both)]
    texts = tabulate(Result("mine", {}, cells), {"rows": "rm_size", "values": ["peak/gold"]})["peak/gold"].tolist()
    assert texts == [f"200 ± {T_975[1] * 100:.0f}", f"0.50002 ± {T_975[1] * 1e-5:.5f}", "0.5 ± 0"]


def test_runs_without_the_metric_are_excluded(cell: Callable[..., Cell]) -> None:
    without = cell(seed=1)
    without = Cell(without.settings, {"rm/val_loss": 0.5}, without.curve)
    table = tabulate(Result("mine", {}, [cell(0.5), without]), {"rows": "rm_size", "values": ["peak/gold"]})
    assert table["peak/gold"].tolist() == ["0.5"]


def test_a_metric_that_is_the_same_in_all_columns_gets_one_column(cell: Callable[..., Cell]) -> None:
    cells = [
        Cell(c.settings, c.metrics | {"rm/val_loss": 0.6}, c.curve)
        for c in (cell(0.1, method="ppo"), cell(0.2, method="best-of-n"))
    ]
    spec = {"rows": "rm_size", "columns": "method", "values": ["peak/gold", "rm/val_loss"]}
    table = tabulate(Result("mine", {}, cells), spec)
    assert list(table) == ["rm_size", "peak/gold (best-of-n)", "peak/gold (ppo)", "rm/val_loss"]


@pytest.mark.parametrize("part", ["rows", "columns", "values"])
def test_an_unknown_name_is_refused_in_one_line_with_the_valid_ones(result: Result, part: str) -> None:
    spec = {"rows": "rm_size", "columns": "method", "values": ["peak/gold"], part: ["nonsense"]}
    with pytest.raises(UserError, match=f"^{part}=nonsense: .*peak/gold") as error:
        tabulate(result, spec)
    assert "\n" not in str(error.value)


def test_markdown_escapes_cells() -> None:
    table = pd.DataFrame({"a|b": ["x | y", "two\nlines"], "n": [0.5, float("nan")], "k": [3, 4]})
    assert to_markdown(table).splitlines() == [
        "| a\\|b | n | k |",
        "|---|---|---|",
        "| x \\| y | 0.5 | 3 |",
        "| two lines |  | 4 |",
    ]
