"""Which column is meant: by the user's words, by usual names, by a chart's runs; doubt is said and not guessed away."""

import pandas as pd
import pytest

from mlproject.errors import UserError
from mlproject.report.logs.columns import choose, find, parse_columns
from mlproject.report.logs.join import join
from mlproject.report.logs.log import Log


def test_a_name_may_contain_commas_and_equals_signs():
    text = "kl=Group: a, b - objective/kl,gold=x=y, step=_step"
    assert parse_columns(text) == {"kl": "Group: a, b - objective/kl", "gold": "x=y", "step": "_step"}


def test_one_column_for_two_meanings_is_refused():
    with pytest.raises(UserError, match="gold and kl are both x"):
        parse_columns("kl=x,gold=x")
    log = Log("mine", "a table", pd.DataFrame({"kl": [0, 1, 2]}))
    with pytest.raises(UserError, match=r"kl and gold are both kl. Give columns=gold=COLUMN"):
        join([log], {"gold": "kl"}, "mine")


NAMES = ["run-a - train/kl", "run-b - train/kl", "Eval_Gold", "eval gold", "kl"]


def test_a_very_name_counts_before_a_chart_s_metric_and_that_before_another_spelling():
    assert find("kl", NAMES) == ["kl"]
    assert find("train/kl", NAMES) == ["run-a - train/kl", "run-b - train/kl"]
    assert find("eval/gold", NAMES) == ["Eval_Gold", "eval gold"]
    assert find("gold", NAMES) == []


def test_doubt_is_said():
    with pytest.raises(UserError, match=r"train/kl for kl may be any of run-a - train/kl, run-b - train/kl"):
        choose("kl", NAMES, {"kl": "train/kl"}, "mine")
    with pytest.raises(UserError, match=r"has no column eval/golt for gold \(did you mean Eval_Gold\?\)"):
        choose("gold", NAMES, {"gold": "eval/golt"}, "mine")
    assert choose("proxy", NAMES, {}, "mine") is None


def test_kl_and_gold_of_two_runs_of_a_chart_are_refused():
    table = pd.DataFrame({"Step": [0, 1, 2], "a - kl": [0, 1, 2], "b - gold": [0, 1, 2]})
    with pytest.raises(UserError, match="kl is of run a and gold of run b"):
        join([Log("mine", "a chart", table)], {"kl": "a - kl", "gold": "b - gold"}, "mine")


def test_the_step_is_a_column_that_every_needed_row_has():
    table = pd.DataFrame(
        {
            "global_step": [0, None, 2, None, 4, None],
            "_step": [0, 1, 2, 3, 4, 5],
            "kl": [0, 1, 2, 3, 4, 5],
            "gold": [0, 1, 2, 3, 4, 5],
        }
    )
    assert join([Log("mine", "a table", table)], {}, "mine").numbers.step.tolist() == [0, 1, 2, 3, 4, 5]
    asked = join([Log("mine", "a table", table)], {"step": "global_step"}, "mine")
    assert asked.numbers.step.tolist() == [0, 2, 4]
    assert "3 rows without a global_step are left out" in asked.notes


def test_of_a_resumed_run_the_later_rows_count_metric_by_metric():
    table = pd.DataFrame({"step": [0, 1, 2, 3, 2, 3], "kl": [0, 1, 2, 3, 2.5, None], "gold": [0, 1, 2, 3, None, 7]})
    joined = join([Log("mine", "a table", table)], {}, "mine")
    assert joined.numbers[["kl", "gold"]].to_numpy().tolist() == [[0, 0], [1, 1], [2.5, 2], [3, 7]]
    assert any("step 2 was logged more than once" in note for note in joined.notes)


def test_rows_out_of_order_are_sorted_and_that_is_said():
    table = pd.DataFrame({"step": [20, 0, 10], "kl": [4, 0, 1], "gold": [1, 0, 0.8]})
    joined = join([Log("mine", "a table", table)], {}, "mine")
    assert joined.numbers.step.tolist() == [0, 10, 20]
    assert joined.notes == ("rows were not in order of step; they are sorted",)


def test_kl_is_interpolated_only_where_gold_would_otherwise_be_lost_and_never_beyond_its_steps():
    kl = Log("a", "a table", pd.DataFrame({"step": [1, 11, 21, 31], "kl": [0, 1, 2, 3]}))
    gold = Log("b", "a table", pd.DataFrame({"step": [0, 6, 16, 26, 36], "gold": [0, 1, 2, 3, 4]}))
    joined = join([kl, gold], {}, "mine")
    assert joined.numbers[["step", "kl", "gold"]].to_numpy().tolist() == [[6, 0.5, 1], [16, 1.5, 2], [26, 2.5, 3]]
    assert "kl was logged at 0 of the 5 steps of gold" in joined.notes[0]
    exact = Log("b", "a table", pd.DataFrame({"step": [1, 6, 11, 21, 31], "gold": [0, 1, 2, 3, 4]}))
    assert join([kl, exact], {}, "mine").numbers.step.tolist() == [1, 11, 21, 31]
