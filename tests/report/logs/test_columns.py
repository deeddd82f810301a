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


def test_no_other_metric_passes_for_the_name_of_a_run():
    others = {
        "gold": ["0", "1", "2", "3", "2", "3"],
        "lr": ["0,1", "0,1", "0,1", "0,1", "0,2", "0,2"],
        "tag": [None] * 6,
    }
    table = pd.DataFrame({"step": [0, 1, 2, 3, 2, 3], "kl": [0, 1, 2, 3, 4, 5]} | others)
    assert join([Log("mine", "a table", table)], {}, "mine").numbers.kl.tolist() == [0, 1, 4, 5]


def test_rows_out_of_order_are_sorted_and_that_is_said():
    table = pd.DataFrame({"step": [20, 0, 10], "kl": [4, 0, 1], "gold": [1, 0, 0.8]})
    joined = join([Log("mine", "a table", table)], {}, "mine")
    assert joined.numbers.step.tolist() == [0, 10, 20]
    assert joined.notes == ("rows were not in order of step; they are sorted",)


def test_kl_is_interpolated_only_where_gold_would_otherwise_be_lost_and_never_beyond_its_steps():
    kl = Log("a", "a table", pd.DataFrame({"step": [2, 12, 22, 32], "kl": [0, 1, 2, 3]}))
    gold = Log("b", "a table", pd.DataFrame({"step": [1, 7, 17, 27, 37], "gold": [0, 1, 2, 3, 4]}))
    joined = join([kl, gold], {}, "mine")
    assert joined.numbers[["step", "kl", "gold"]].to_numpy().tolist() == [[7, 0.5, 1], [17, 1.5, 2], [27, 2.5, 3]]
    assert "kl was logged at 0 of the 5 steps of gold" in joined.notes[0]
    exact = Log("b", "a table", pd.DataFrame({"step": [2, 7, 12, 22, 32], "gold": [0, 1, 2, 3, 4]}))
    assert join([kl, exact], {}, "mine").numbers.step.tolist() == [2, 12, 22, 32]


def test_all_metrics_of_a_log_are_joined_on_one_column_of_steps():
    """Gold was logged by a call that did not know the trainer's step: only `_step` orders both."""
    kl = {"train/global_step": [0, 10, 20, 30], "_step": [0, 2, 4, 6], "kl": [0, 1, 2, 3]}
    gold = {"_step": [0, 2, 4, 6], "gold": [0, 1, 2, 3]}
    table = pd.concat([pd.DataFrame(kl), pd.DataFrame(gold)], ignore_index=True)
    joined = join([Log("mine", "a table", table)], {}, "mine").numbers
    assert joined[["step", "kl", "gold"]].to_numpy().tolist() == [[0, 0, 0], [2, 1, 1], [4, 2, 2], [6, 3, 3]]


def test_gold_at_step_0_is_the_initial_policy_s_though_kl_was_logged_only_later():
    kl = {"step": [10, 20, 30], "kl": [1, 2, 3]}
    gold = {"step": [0, 10, 20, 30], "gold": [5, 6, 7, 8]}
    table = pd.concat([pd.DataFrame(kl), pd.DataFrame(gold)], ignore_index=True)
    joined = join([Log("mine", "a table", table)], {}, "mine")
    assert joined.numbers[["kl", "gold"]].to_numpy().tolist() == [[0, 5], [1, 6], [2, 7], [3, 8]]
    assert "kl was not logged at step 0" in joined.notes[0]
    rows = pd.DataFrame({"kl": [None, 1, 2, 3], "gold": [5, 6, 7, 8]})
    assert join([Log("mine", "a table", rows)], {}, "mine").numbers.kl.tolist() == [1, 2, 3], "row 0 is no step 0"


def test_several_files_need_steps():
    kl, gold = (Log(f"{name}.csv", "a table", pd.DataFrame({name: [0, 1, 2]})) for name in ("kl", "gold"))
    with pytest.raises(UserError, match=r"kl.csv has no column of steps to join on. Give columns=step=COLUMN"):
        join([kl, gold], {}, "mine")
