"""A column that says which side won is honoured by one rule for every set of values; what is ambiguous is refused."""

from __future__ import annotations

import itertools
import random
import re

import pytest
from tests.support.preference_files import write

from mlproject.errors import UserError
from mlproject.worlds.files.preferences import read_with_counts
from mlproject.worlds.files.rows import InvalidRows
from mlproject.worlds.files.winner import common_prefix

FIELDS = ("prompt", "chosen", "rejected")
GOOD, BAD = ("good {}", "bad {}")


def rows_of(names, column, values, extra=None):
    """Rows of two responses, of which the good one stands where each value says that it does."""
    rows = []
    for i, (value, side) in enumerate(values):
        texts = [text.format(i) for text in ((GOOD, BAD) if side != 1 else (BAD, GOOD))]
        value = {"TEXT": texts[0], "TEXT2": texts[1]}.get(value, value) if isinstance(value, str) else value
        rows.append({"prompt": f"q{i}", **dict(zip(names, texts, strict=True)), column: value, **(extra or {})})
    return rows


def check(preferences, values):
    decided = [i for i, (_, side) in enumerate(values) if side is not None]
    assert [each.prompt for each in preferences] == [f"q{i}" for i in decided]
    assert all(each.chosen.startswith("good") and each.rejected.startswith("bad") for each in preferences)


AB, A_B, R01, R12, OTHERS = (
    ("response_a", "response_b"), ("answer_A", "answer_B"), ("response_0", "response_1"), ("output_1", "output_2"),
    ("text_first", "text_second"),
)  # fmt: skip
# column, names of the responses, values with the side that they mean (None: a tie)
RULES = {
    "index": ("label", AB, [(0, 0), (1, 1)]),
    "index as text": ("label", AB, [("0", 0), ("1", 1)]),
    "index as fraction": ("label", A_B, [(0.0, 0), (1.0, 1)]),
    "index of columns 0 and 1": ("choice", R01, [(1, 1)]),
    "ordinal": ("preference", AB, [(1, 0), (2, 1)]),
    "ordinal of columns 1 and 2": ("preference", R12, [(1, 0)]),
    "ordinal with fractions": ("preference", R12, [(1.02, 0), (1.97, 1), (1.5, None)]),
    "letters": ("winner", AB, [("A", 0), ("b", 1), ("tie", None), (" B ", 1), ("[[A]]", 0)]),
    "models": ("winner", A_B, [("model_a", 0), ("model_b", 1), ("tie (bothbad)", None), ("both_bad", None)]),
    "columns": ("better_response", R12, [("output_2", 1), ("output_1", 0)]),
    "the last part of a column": ("winner", OTHERS, [("second", 1), ("first", 0)]),
    "words": ("choice", AB, [("First", 0), ("RIGHT", 1), ("left", 0), ("draw", None)]),
    "a judge's verdict": ("verdict", AB, [("[[A>>B]]", 0), ("[[B>A]]", 1), ("A<B", 1), ("A=B", None)]),
    "signs": ("preference", AB, [(-1, 0), (1, 1), (0, None)]),
    "strengths": ("preference_strength", R12, [(-3, 0), (0.5, 1), (-0.1, 0), (0, None)]),
    "true for the side that the column names": ("prefers_a", AB, [(True, 0), (False, 1)]),
    "true for the second": ("response_b_wins", AB, [("True", 1), ("False", 0)]),
    "1 for the side that the column names": ("winner_model_b", A_B, [(1, 1), (0, 0)]),
    "text of the response": ("preferred_response", AB, [("TEXT", 0), ("TEXT2", 1)]),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_the_side_that_a_column_names_is_chosen(tmp_path, rule, ending):
    column, names, values = RULES[rule]
    path = write(tmp_path / f"p.{ending}", rows_of(names, column, values))
    ways = [(("prompt", *names), column)]
    if names != OTHERS:  # columns that are known for responses need no mapping, and the column is found
        ways += [(FIELDS, column), (FIELDS, "")]
    for fields, preferred in ways:
        preferences, reading = read_with_counts(path, fields, InvalidRows(), preferred=preferred)
        check(preferences, values)
        assert reading.dropped.total() == sum(side is None for _, side in values)
        assert column in reading.summary and not reading.is_as_before


SAME_EITHER_WAY = ("letters", "models", "columns", "the last part of a column", "words", "a judge's verdict",
                   "true for the side that the column names", "true for the second",
                   "1 for the side that the column names", "text of the response")  # fmt: skip


@pytest.mark.parametrize("rule", SAME_EITHER_WAY)
def test_names_of_sides_mean_the_same_where_the_mapping_names_the_columns_in_the_other_order(tmp_path, rule):
    column, names, values = RULES[rule]
    path = write(tmp_path / "p.jsonl", rows_of(names, column, values, {"model_a": "gpt", "model_b": "opus"}))
    check(read_with_counts(path, ("prompt", *names[::-1]), InvalidRows(), preferred=column)[0], values)


def test_models_mean_the_same_where_the_mapping_names_the_columns_in_the_other_order(tmp_path):
    values = [("gpt", 0), ("opus", 1)]
    path = write(tmp_path / "p.jsonl", rows_of(AB, "winner", values, {"model_a": "gpt", "model_b": "opus"}))
    check(read_with_counts(path, ("prompt", *AB[::-1]), InvalidRows(), preferred="winner")[0], values)


def test_a_mapping_that_swaps_chosen_and_rejected_is_refused(tmp_path):
    path = write(tmp_path / "p.jsonl", [{"q": "x", "chosen": "a", "rejected": "b"}])
    with pytest.raises(UserError, match=r"rejected would be the chosen response. Swap rejected and chosen"):
        read_with_counts(path, ("q", "rejected", "chosen"), InvalidRows())


def test_names_of_models_say_who_won(tmp_path):
    values = [("gpt-5", 0), ("opus", 1), ("tie", None)]
    rows = rows_of(AB, "winner", values, {"model_a": "gpt-5", "model_b": "opus"})
    preferences, _ = read_with_counts(write(tmp_path / "p.jsonl", rows), FIELDS, InvalidRows())
    check(preferences, values)


def test_a_flag_for_ties_beside_that_of_a_side_is_honoured(tmp_path):
    rows = rows_of(A_B, "winner_a", [(1, 0), (0, 1), (0, None)])
    rows = [{**row, "winner_tie": int(i == 2)} for i, row in enumerate(rows)]
    path = write(tmp_path / "p.jsonl", rows)
    preferences, reading = read_with_counts(path, ("prompt", *A_B), InvalidRows(), preferred="winner_a")
    assert len(preferences) == 2 and reading.dropped["ties"] == 1


LABELS = {"index": (1, 0), "letters": ("B", "A"), "ordinal": (2, 1), "true for a side": (False, True)}


@pytest.mark.parametrize("name", LABELS)
def test_a_column_that_scores_contradict_in_most_rows_is_refused_unless_its_values_are_named(tmp_path, name):
    when_first_won, when_second_won = LABELS[name]
    column = "prefers_a" if name == "true for a side" else "label"
    rows = rows_of(AB, column, [(when_first_won, 0), (when_second_won, 1), (when_first_won, 0)])
    rows = [
        {**row, **{f"score_{side}": 9 if "good" in row[f"response_{side}"] else i for side in "ab"}}
        for i, row in enumerate(rows)
    ]
    path, fields = write(tmp_path / "p.jsonl", rows), ("prompt", *AB)
    for mapping, preferred in ((FIELDS, column), (fields, column), (FIELDS, "")):
        with pytest.raises(UserError, match=r"is contradicted by score_a,score_b in 3 of 3 rows. Give preferred=score"):
            read_with_counts(path, mapping, InvalidRows(), preferred=preferred)
    for preferred in ("score_a,score_b", f"{column}={when_first_won}/{when_second_won}"):
        preferences, _ = read_with_counts(path, FIELDS, InvalidRows(), preferred=preferred)
        assert all(each.chosen.startswith("good") and each.rejected.startswith("bad") for each in preferences)
    other = {when_first_won: when_second_won, when_second_won: when_first_won}
    few = [rows[0], *({**row, column: other[row[column]]} for row in rows[1:])]
    kept, _ = read_with_counts(write(path, few), FIELDS, InvalidRows(), preferred=column)
    assert [each.chosen[:4] for each in kept] == ["bad ", "good", "good"], "people and scores may differ"


AMBIGUOUS = {
    "1 alone": (AB, [1, 1]),
    "0, 1 and 2": (AB, [0, 1, 2]),
    "0 and 1 of columns 1 and 2": (R12, [0, 1]),
    "1 and 2 of columns 0 and 1": (R01, [1, 2]),
    "a strength without a sign": (AB, [1, 3, 2]),
    "shares": (AB, [0.2, 0.8]),
    "a scale of seven": (AB, [1, 7, 4]),
    "a slider": (AB, [20, 80]),
    "true and false of neither": (AB, [True, False]),
    "index in the wrong order": (AB[::-1], [0, 1]),
    "a sign in the wrong order": (R12[::-1], [-1, 1]),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_values_that_could_mean_either_side_are_refused_in_one_line(tmp_path, name):
    names, values = AMBIGUOUS[name]
    path = write(tmp_path / "p.jsonl", rows_of(names, "label", [(value, 0) for value in values]))
    with pytest.raises(UserError, match="label looks as if it says which side won"):
        read_with_counts(path, ("prompt", *names), InvalidRows())
    with pytest.raises(UserError, match="label") as caught:
        read_with_counts(path, ("prompt", *names), InvalidRows(), preferred="label")
    assert "\n" not in str(caught.value)
    if len(set(values)) == 2:  # named, they are read
        first, second = values[:2]
        rows = rows_of(names, "label", [(first, 0), (second, 1)])
        path = write(tmp_path / "p.jsonl", rows)
        given = f"label={first}/{second}"
        check(read_with_counts(path, ("prompt", *names), InvalidRows(), preferred=given)[0], [(first, 0), (second, 1)])


@pytest.mark.parametrize("rule", RULES)
def test_a_mapping_that_ignores_who_won_is_refused(tmp_path, rule):
    column, names, values = RULES[rule]
    path = write(tmp_path / "p.jsonl", rows_of(names, column, values))
    words = f"{names[0]} would be chosen in every row, but {column} looks as if it says which side won"
    with pytest.raises(UserError, match=words + f". Give preferred={column} to use it, or preference_format=columns"):
        read_with_counts(path, ("prompt", *names), InvalidRows())
    kept, reading = read_with_counts(path, ("prompt", *names), InvalidRows(), preference_format="columns")
    assert len(kept) == len(values) and reading.is_as_before


def test_a_mapping_that_ignores_scores_is_refused_where_they_contradict_it(tmp_path):
    rows = [{"q": f"q{i}", "answer_0": f"a{i}", "answer_1": f"b{i}", "score_0": i, "score_1": 1} for i in range(3)]
    path = write(tmp_path / "p.jsonl", rows)
    fields = ("q", "answer_0", "answer_1")
    with pytest.raises(
        UserError, match=r"answer_1 has the higher of score_0,score_1 in some. Give preferred=score_0,score_1"
    ):
        read_with_counts(path, fields, InvalidRows())
    preferences, reading = read_with_counts(path, fields, InvalidRows(), preferred="score_0,score_1")
    assert [each.chosen for each in preferences] == ["b0", "a2"] and reading.dropped["ties"] == 1
    assert len(read_with_counts(write(path, rows[1:]), fields, InvalidRows())[0]) == 2


def test_columns_named_chosen_and_rejected_are_believed_unless_another_says_otherwise(tmp_path):
    row = {"prompt": "q", "chosen": "a", "rejected": "b"}
    for column, values in (
        ("label", ["harmless", "helpful"]),
        ("label", [1, 1]),
        ("chosen_score", [1, 2]),
        ("winner", ["a", "a"]),
    ):
        path = write(tmp_path / "p.jsonl", [{**row, column: value} for value in values])
        assert [each.chosen for each in read_with_counts(path, FIELDS, InvalidRows())[0]] == ["a", "a"]
    path = write(tmp_path / "p.jsonl", [{**row, "preferred": value} for value in ("a", "b")])
    with pytest.raises(UserError, match="but preferred looks as if it says"):
        read_with_counts(path, FIELDS, InvalidRows())
    preferences, _ = read_with_counts(path, FIELDS, InvalidRows(), preferred="preferred")
    assert [each.chosen for each in preferences] == ["a", "b"]


def test_columns_named_chosen_and_rejected_may_hold_names_of_the_responses(tmp_path):
    values = [("A", 0), ("B", 1)]
    rows = [{**row, "rejected": "BA"[i]} for i, row in enumerate(rows_of(AB, "chosen", values))]
    check(read_with_counts(write(tmp_path / "p.jsonl", rows), FIELDS, InvalidRows())[0], values)
    rows = [{**row, "chosen": row["response_a"], "rejected": row["response_b"]} for row in rows]
    preferences, reading = read_with_counts(write(tmp_path / "p.jsonl", rows), FIELDS, InvalidRows())
    assert [each.chosen for each in preferences] == [row["response_a"] for row in rows] and reading.is_as_before


def test_shp_keeps_its_own_rule_under_a_mapping(tmp_path):
    rows = [{"history": "q0", "human_ref_A": "good", "human_ref_B": "bad", "labels": 1},
            {"history": "q1", "human_ref_A": "bad", "human_ref_B": "good", "labels": 0}]  # fmt: skip
    path = write(tmp_path / "p.jsonl", rows)
    for fields in (("history", "human_ref_A", "human_ref_B"), ("history", "human_ref_B", "human_ref_A")):
        preferences, _ = read_with_counts(path, fields, InvalidRows(), preferred="labels")
        assert [each.chosen for each in preferences] == ["good", "good"]


def test_a_value_that_names_no_side_is_an_invalid_row(tmp_path):
    path = write(tmp_path / "p.jsonl", rows_of(AB, "winner", [("a", 0), ("nobody", 0), (None, 0)]))
    invalid = InvalidRows(skip=True)
    assert len(read_with_counts(path, FIELDS, invalid, preferred="winner")[0]) == 1
    problems = ["field winner must name the side that won, not 'nobody'", "field winner must not be empty"]
    assert [line.partition(": ")[2] for line in invalid.skipped] == problems


def test_no_mixture_of_values_is_read_both_ways(tmp_path):
    """Whatever a column holds, a value means one side, wherever it stands in the file."""
    rng = random.Random(0)
    pool = [0, 1, 2, -1, 0.5, 1.5, "A", "B", "tie", True, False, "", "model_b", "response_a", None, "x"]
    for values in itertools.chain(itertools.product(pool, repeat=2), (rng.choices(pool, k=5) for _ in range(100))):
        rows = [{"prompt": f"q{i}", "response_a": "a", "response_b": "b", "label": v} for i, v in enumerate(values)]
        path = write(tmp_path / "p.jsonl", rows)
        try:
            preferences, _ = read_with_counts(path, FIELDS, InvalidRows(skip=True), preferred="label")
        except UserError:
            continue
        sides: dict[str, set[str]] = {}
        for each in preferences:
            sides.setdefault(repr(values[int(each.prompt[1:])]), set()).add(each.chosen)
        assert all(len(chosen) == 1 for chosen in sides.values())
        for value, side in {"'A'": "a", "'B'": "b", "'response_a'": "a", "'model_b'": "b", "-1": "a"}.items():
            assert sides.get(value, {side}) == {side}


def test_the_common_prefix_is_that_of_the_longest_equal_start():
    texts = ["", "a", "ab", "abc", "abd", "xabc", "aab", "abcabc", "abcabd"]
    for first, second in itertools.product(texts, repeat=2):
        length = max(n for n in range(7) if first[:n] == second[:n] and n <= min(len(first), len(second)))
        assert common_prefix(first, second) == first[:length]


OTHER_NAMES = {  # column: whether its name is enough to use it
    "betterResponse": True, "Human Preference": True, "preferred-response": True, "gpt4.verdict": True, "pick": True,
    "result": False, "answer": False, "groundTruth": False,
}  # fmt: skip


@pytest.mark.parametrize("column", OTHER_NAMES)
def test_other_names_of_such_columns_are_known(tmp_path, column):
    values = [("A", 0), ("B", 1)]
    path = write(tmp_path / "p.jsonl", rows_of(AB, column, values))
    with pytest.raises(UserError, match=f"{re.escape(column)} looks as if it says which side won"):
        read_with_counts(path, ("prompt", *AB), InvalidRows())
    if OTHER_NAMES[column]:
        check(read_with_counts(path, FIELDS, InvalidRows())[0], values)
    else:
        with pytest.raises(UserError, match="no column that says which one won"):
            read_with_counts(path, FIELDS, InvalidRows())
    check(read_with_counts(path, FIELDS, InvalidRows(), preferred=column)[0], values)


@pytest.mark.parametrize("column", ["loser", "worseResponse", "rejected_side"])
def test_a_column_that_says_who_lost_is_not_taken_for_the_winner(tmp_path, column):
    values = [("b", 0), ("a", 1)]
    path = write(tmp_path / "p.jsonl", rows_of(AB, column, values))
    for fields in (FIELDS, ("prompt", *AB)):
        with pytest.raises(UserError, match=f"{column} seems to say which response lost"):
            read_with_counts(path, fields, InvalidRows(), preferred=column)
        with pytest.raises(UserError, match=f"{column}|no column that says"):
            read_with_counts(path, fields, InvalidRows())
        check(read_with_counts(path, fields, InvalidRows(), preferred=f"{column}=b/a")[0], values)


def test_a_mapping_beside_sides_that_were_swapped_is_refused(tmp_path):
    path = write(tmp_path / "p.jsonl", rows_of(AB, "swapped", [(True, 1), (False, 0)]))
    with pytest.raises(UserError, match="swapped looks as if it says which side won"):
        read_with_counts(path, ("prompt", *AB), InvalidRows())


def test_numbers_that_are_no_sides_do_not_stop_a_mapping(tmp_path):
    for column, numbers in (("answer", (42, 17, -3.5)), ("label_id", (1001, 1002, 7))):
        path = write(tmp_path / "p.jsonl", rows_of(AB, column, [(number, 0) for number in numbers]))
        assert len(read_with_counts(path, ("prompt", *AB), InvalidRows())[0]) == 3
