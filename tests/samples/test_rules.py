"""What becomes of columns and rows that are not as they should be: as documented, with a word, or refused in a line."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.samples.planted import planted, scores_by_prompt, wide

from mlproject.errors import UserError
from mlproject.samples.pool import Choice
from mlproject.samples.read import read_samples
from mlproject.worlds.files.rows import InvalidRows

TABLE = planted(8, 6)
WIDE = wide(TABLE)


def changed(column, rows, value) -> pd.DataFrame:
    table = TABLE.copy()
    table.loc[rows, column] = value
    return table


def wide_with(row, column, value):
    return [{**values, **({column: value} if index == row else {})} for index, values in enumerate(WIDE)]


REFUSED = {
    "no gold": (TABLE.drop(columns="gold"), {}, ["column of the gold score", "prompt (a text)", "columns=gold="]),
    "two golds": (TABLE.assign(gold_a=1.0, gold_b=2.0).drop(columns="gold"), {}, ["gold_a or gold_b", "ONE_OF_THEM"]),
    "gold is the same for all": (TABLE.assign(gold=1.0), {}, ["gold", "must differ", "1 for all"]),
    "named gold holds texts": (TABLE, {"asked": {"gold": "response"}}, ["columns=gold=response", "not a text"]),
    "named column is missing": (TABLE, {"asked": {"gold": "golden"}}, ["columns=gold=golden", "did you mean gold?"]),
    "no prompt": (TABLE[["gold", "good", "bad"]], {}, ["column of the prompt", "gold (a number)", "columns=prompt="]),
    "no reward model": (TABLE[["prompt", "response", "gold"]], {}, ["reward model's scores", "rms=COLUMN"]),
    "unknown reward model": (TABLE, {"rms": "goood"}, ["rms=goood", "did you mean good?", "good, bad"]),
    "reward model named twice": (TABLE, {"rms": "good,bad,good"}, ["names good twice"]),
    "one prompt": (TABLE[:6], {}, ["must have 2 prompts", "1 prompts"]),
    "one response each": (TABLE.drop_duplicates("prompt"), {}, ["several responses", "every prompt has one"]),
    "too few responses": (TABLE, {"min_samples": 7}, ["at least 7", "at most 6"]),
    "no response that all scored": (
        TABLE.assign(good=TABLE.good.where(TABLE.index % 2 == 0), bad=TABLE.bad.where(TABLE.index % 2 == 1)),
        {},
        ["all reward models scored", "good, bad", "rms=COLUMN,COLUMN"],
    ),
    "a name of two lines": (TABLE.rename(columns={"good": "go\x1b[2J\nod"}), {}, ["go\\x1b[2J", "on one line"]),
    "a name that never ends": (TABLE.rename(columns={"good": "g" * 3000}), {}, ["at most 200 letters"]),
    "a number without a square": (changed("good", 3, 1e200), {}, ["row 4: good must be finite, and at most 1e+100"]),
    "infinite score": (changed("good", 3, np.inf), {}, ["row 4: good must be finite", "(1 are not)"]),
    "a huge named score": (changed("good", 3, 1e300), {"rms": "good,bad"}, ["row 4: good must be finite"]),
    "a huge gold": (changed("gold", 3, 1e300), {"rms": "good"}, ["row 4: gold must be finite"]),
    "infinite gold": (changed("gold", 5, -np.inf), {}, ["row 6: gold must be finite"]),
    "log-probability above 0": (TABLE.assign(logprob=0.5), {}, ["row 1: logprob", "at most 0", "0.5"]),
    "named one is constant": (TABLE.assign(c=1.0), {"rms": "c"}, ["rms=c", "the same for all responses"]),
    "named one is mostly missing": (changed("good", slice(0, 30), np.nan), {"rms": "good"}, ["missing for 65%"]),
    "a list of scores is short": (wide_with(2, "good", [1.0]), {}, ["row 3: good has 1 items and gold 6"]),
    "a list of responses is short": (wide_with(2, "response", ["x"]), {}, ["row 3: response has 1 items"]),
    "best of k without scores": (
        [{"prompt": "a", "chosen": ["x"], "rejected": ["y"], "num_correct": 1}] * 3,
        {},
        ["num_correct (one value for each prompt)", "rms=COLUMN"],
    ),
    "no rows": (TABLE[:0], {}, ["has no rows"]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line(read, case):
    table, options, words = REFUSED[case]
    with pytest.raises(UserError) as caught:
        read(table, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


LEFT_OUT = {
    "ids and counts": ({"sample_id": range(48), "n_tokens": range(5, 53), "gold_se": 0.1}, "counts or describes"),
    "row numbers": ({"which": range(48)}, "it counts the rows"),
    "numbers within a prompt": ({"which": [i % 6 for i in range(48)]}, "it counts the rows"),
    "truth values": ({"finished": [i % 2 == 0 for i in range(48)]}, "true or false"),
    "constants": ({"c": 1.0}, "the same for all responses of a prompt"),
    "values of prompts": ({"difficulty": [i // 6 * 0.37 for i in range(48)]}, "the same for all responses"),
    "gold in other units": ({"scaled": TABLE.gold * 2 - 1}, "gold itself"),
    "mostly missing": ({"m": [1.5, 2.5] + [None] * 46}, "missing for 96%"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_columns_that_are_no_reward_models_are_left_out_with_the_reason(read, case):
    columns, reason = LEFT_OUT[case]
    pool = read(TABLE.assign(**columns))
    assert list(pool.scores) == ["good", "bad"]
    [note] = pool.notes
    assert all(name in note for name in columns) and reason in note


def test_a_reward_model_that_is_named_is_used_though_it_is_gold_or_true_or_false(read):
    pool = read(TABLE.assign(ok=TABLE.good > 7, same=TABLE.gold), rms="ok, same")
    assert list(pool.scores) == ["ok", "same"]
    assert set(pool.scores["ok"]) == {0.0, 1.0}


def test_names_may_hold_commas_and_differ_in_case(read):
    table = TABLE.rename(columns={"good": "Skywork/Reward V2", "bad": "rm,b"})
    assert list(read(table, rms="rm,b,skywork reward-v2").scores) == ["rm,b", "Skywork/Reward V2"]


def test_a_length_reward_is_a_reward_model_and_a_length_is_not(read):
    pool = read(TABLE.assign(length_reward=TABLE.good * -1, response_length=TABLE.bad))
    assert list(pool.scores) == ["good", "bad", "length_reward"]


def test_responses_without_gold_or_a_score_are_left_out_for_all_reward_models(read):
    table = changed("good", [3, 4], np.nan)
    table.loc[9, "gold"] = np.nan
    pool = read(table)
    expected = table.dropna()
    assert scores_by_prompt(pool, "bad") == {
        prompt: sorted(rows.bad) for prompt, rows in expected.groupby("prompt", sort=False)
    }
    assert "1 of 48" in pool.notes[0] and "good 2" in pool.notes[1]


def test_prompts_with_few_responses_are_left_out_with_a_word(read):
    table = TABLE[[row % 6 < (6 if row < 30 else 2) for row in range(48)]]
    pool = read(table)
    assert (len(pool.prompts), pool.n_max) == (5, 6)
    assert any("3 of 8 prompts have fewer than 3 responses (half the median)" in note for note in pool.notes)
    assert (len(read(table, min_samples=2).prompts), read(table, min_samples=2).n_max) == (8, 2)


def test_repeated_responses_are_samples_unless_the_user_says_otherwise(read):
    table = pd.concat([TABLE, TABLE[:5]], ignore_index=True)
    pool = read(table)
    assert (len(pool.gold_B), any("5 of 53 responses repeat" in note for note in pool.notes)) == (53, True)
    once = read(table, duplicates="drop")
    assert scores_by_prompt(once, "good") == scores_by_prompt(read(TABLE), "good")


def test_a_table_that_stands_there_twice_is_read_once(read):
    pool = read(pd.concat([TABLE, TABLE], ignore_index=True))
    assert scores_by_prompt(pool, "good") == scores_by_prompt(read(TABLE), "good")
    assert any("every row is there 2 times" in note for note in pool.notes)


def test_log_probabilities_count_only_where_all_have_one(read):
    assert read(TABLE.assign(logprob=-1.0)).log_prob_B is not None
    pool = read(TABLE.assign(logprob=[None] + [-1.0] * 47))
    assert pool.log_prob_B is None and "KL is the bound alone" in pool.notes[0]


def test_columns_of_odd_names_are_known_by_what_they_hold(read):
    table = TABLE.rename(
        columns={"prompt": "user turn", "response": "y", "gold": "GPT4-judge", "good": "v1", "bad": "v2"}
    )
    pool = read(table.assign(engine="vllm", split="test"))
    assert pool.read_as == ("read as long: prompt = user turn, response = y, gold = GPT4-judge; reward models: v1, v2")


def test_numbered_columns_are_lists(read):
    rows = [
        {
            "prompt": row["prompt"],
            **{f"{name}_{i}": row[name][i] for name in ("response", "gold", "good") for i in range(6)},
        }
        for row in WIDE
    ]
    assert scores_by_prompt(read(rows), "good") == scores_by_prompt(read(TABLE), "good")


def test_numbered_reward_models_are_several(read):
    table = TABLE.rename(columns={"good": "rm_1", "bad": "rm_2"})
    assert list(read(table).scores) == ["rm_1", "rm_2"]


def test_an_instruction_and_its_input_are_one_prompt(read):
    table = TABLE.assign(instruction="Summarize.", input=TABLE.prompt).drop(columns="prompt")
    assert read(table).prompts[:2] == ["Summarize.\n\nWhat is 0?", "Summarize.\n\nWhat is 1?"]


def test_right_and_wrong_responses_are_read_as_published_with_scores_in_any_of_three_forms(read):
    public = {"id": "7", "num_correct": 1, "total_completions": 4, "subset": "Math", "models": list("abcd")}
    rows = [
        {
            "prompt": f"q{i}", "chosen": [f"right {i}"], "rejected": ["a", "b", "c"], **public,
            "rm_a": [1.0 * i, 2.0, 0.5, 3.0],
            "rm_b_chosen": [0.1 * i], "rm_b_rejected": [0.3, 0.2, 0.1],
            "scores": {"chosen": [0.5 * i], "rejected": [1.0, 2.0, 3.0]},
        }
        for i in range(4)
    ]  # fmt: skip
    pool = read(rows)
    assert (pool.form, set(pool.scores), pool.n_max) == ("best-of-k", {"rm_a", "rm_b", "scores"}, 4)
    for i in range(4):
        rows_N = slice(4 * i, 4 * i + 4)
        best = int(pool.gold_B[rows_N].argmax())
        assert pool.gold_B[rows_N].sum() == 1
        assert pool.responses[4 * i + best].as_py() == f"right {i}"
        assert [pool.scores[rm][rows_N][best] for rm in ("rm_a", "rm_b", "scores")] == pytest.approx(
            [i, 0.1 * i, 0.5 * i]
        )


def test_rows_that_cannot_be_read_are_refused_or_skipped(tmp_path):
    path = tmp_path / "t.jsonl"
    lines = [json.dumps(row) for row in TABLE.to_dict("records")]
    path.write_text("\n".join([*lines[:3], '{"prompt": 1', *lines[3:]]))
    with pytest.raises(UserError, match=r"t\.jsonl line 4: must be JSON"):
        read_samples(path, {}, Choice())
    pool = read_samples(path, {}, Choice(), InvalidRows(skip=True))
    assert (len(pool.gold_B), pool.notes) == (48, ("1 rows that cannot be read are skipped",))
