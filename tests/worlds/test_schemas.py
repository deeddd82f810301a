"""Published kinds of preference files: recognised, every pair the right way round, ties and useless pairs counted."""

from __future__ import annotations

import contextlib
import json
import random
import re
from pathlib import Path

import pytest
from tests.support.preference_files import EMPTY, EQUAL, KINDS, TIED, asked, items, turn, write

from mlproject.errors import UserError
from mlproject.worlds.files.preferences import read_preferences, read_with_counts
from mlproject.worlds.files.prompts import read_prompts, read_prompts_with_counts
from mlproject.worlds.files.rows import InvalidRows
from mlproject.worlds.files.schemas import FORMAT_NAMES, SCHEMAS

FIELDS = ("prompt", "chosen", "rejected")
IDS = [f"{number}-{kind.name}" for number, kind in enumerate(KINDS)]


def read(path, invalid=None, **options):
    return read_with_counts(path, FIELDS, invalid or InvalidRows(), **options)


def by_name(name):
    return next(kind for kind in KINDS if kind.name == name)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet", "jsonl.gz"])
@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_published_file_is_recognised_and_no_pair_is_the_wrong_way_round(tmp_path, kind, ending):
    planted = items(*([TIED] * kind.has_ties), EQUAL, EMPTY)
    path = write(tmp_path / f"p.{ending}", [row for item in planted for row in kind.rows(item)])
    preferences, reading = read(path)
    assert reading.title == kind.title
    assert [each.chosen.strip() for each in preferences] == [item.chosen for item in planted[:4]]
    assert [each.rejected.strip() for each in preferences] == [item.rejected for item in planted[:4]]
    assert all(each.chosen.startswith("good") and each.rejected.startswith("bad") for each in preferences)
    assert preferences[0].prompt == kind.prompt.format("Question 0?")
    counts = {"ties": int(kind.has_ties), "identical pairs": 1, "pairs with an empty turn": 1}
    assert {why: count for why, count in reading.dropped.items() if count} == {w: n for w, n in counts.items() if n}
    assert reading.count == 4 and "4 pairs" in reading.summary and f"read as {kind.title}: " in reading.summary
    assert read_preferences(path, FIELDS, InvalidRows(), preference_format=kind.name) == preferences


def test_every_schema_has_a_file_here():
    assert {kind.name for kind in KINDS} == {schema.name for schema in SCHEMAS} == {*FORMAT_NAMES} - {"auto", "columns"}


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_published_file_serves_as_prompts_too(tmp_path, kind):
    path = write(tmp_path / "p.jsonl", [row for item in items() for row in kind.rows(item)])
    prompts, reading = read_prompts_with_counts(path, "prompt", InvalidRows())
    assert prompts == [kind.prompt.format(f"Question {i}?") for i in range(4)]
    assert prompts == list(dict.fromkeys(each.prompt for each in read(path)[0]))
    assert reading.summary == f"read as {kind.title}, 4 distinct prompts"


def pairs_of(tmp_path, *rows, **options):
    preferences, reading = read(write(tmp_path / "p.jsonl", list(rows)), **options)
    return [(each.chosen, each.rejected) for each in preferences], reading


def test_all_pairs_of_ranks_are_made_and_none_of_equal_ranks(tmp_path):
    ranks = {"d": 4, "a": 1, "c": 3, "b": 2, "c'": 3}
    row = {"prompt": "\n\nHuman: q\n\nAssistant: ", "answers": [{"answer": k, "rank": v} for k, v in ranks.items()]}
    pairs, reading = pairs_of(tmp_path, row)
    assert len(pairs) == 9 and all(ranks[chosen] < ranks[rejected] for chosen, rejected in pairs)
    assert reading.dropped["ties"] == 1


def test_each_of_several_right_answers_stands_against_each_wrong_one(tmp_path):
    row = {"prompt": "q", "chosen": ["a", "b"], "rejected": ["x", "y", "z"], "subset": "Ties"}
    assert pairs_of(tmp_path, row)[0] == [(good, bad) for good in "ab" for bad in "xyz"]


def test_scored_generations_are_compared_two_and_two(tmp_path):
    row = {"instruction": "q", "input": "i", "answers": list("abcdefg"), "gold_scores": [1, 2, 5, 4.5, -1, -1, 9]}
    pairs, reading = pairs_of(tmp_path, row)
    assert pairs == [("b", "a"), ("c", "d")] and reading.dropped == {"ties": 1, "without a partner": 1}
    [prompt] = read_prompts(tmp_path / "p.jsonl", "prompt", InvalidRows())
    assert prompt == "q\n\ni"


def test_only_successive_rows_of_one_prompt_are_paired(tmp_path):
    rows = [("p", "a", 1), ("p", "b", 3), ("p", "c", 0), ("q", "d", 4), ("q", "e", 2), ("r", "f", 1), ("q", "g", 0)]
    rows = [dict(zip(("prompt", "response", "helpfulness"), row, strict=True)) for row in rows]
    pairs, reading = pairs_of(tmp_path, *rows)
    assert pairs == [("b", "a"), ("d", "e")] and reading.dropped["without a partner"] == 3
    with pytest.raises(UserError, match="line 3: field helpfulness must be a number, not 'high'"):
        pairs_of(tmp_path, *rows[:2], {**rows[2], "helpfulness": "high"})


def test_turns_of_helpsteer2_become_messages(tmp_path):
    prompt = "Hi<extra_id_1>Assistant\nHello, you.<extra_id_1>User\nWhy?<extra_id_1>Assistant\n"
    row = {"prompt": prompt, "response_1": "a", "response_2": "b", "preference_strength": 2}
    [pair] = read(write(tmp_path / "p.jsonl", [row]))[0]
    assert json.loads(pair.prompt) == [turn("user", "Hi"), turn("assistant", "Hello, you."), turn("user", "Why?")]
    assert (pair.chosen, pair.rejected) == ("b", "a")


@pytest.mark.parametrize("kind", ["shp", "hh", "pku-saferlhf", "sharegpt", "helpsteer3", "ultrafeedback"])
def test_an_empty_prompt_of_a_published_file_is_dropped_and_counted(tmp_path, kind):
    rows = by_name(kind).rows(items()[0])
    empty = [json.loads(json.dumps(row).replace("Question 0?", " ")) for row in rows]
    path = write(tmp_path / "p.jsonl", [*rows, *empty])
    preferences, reading = read(path)
    assert len(preferences) == 1 and reading.dropped == {"pairs with an empty turn": 1}
    prompts, reading = read_prompts_with_counts(path, "prompt", InvalidRows())
    assert len(prompts) == 1 and reading.dropped == {"rows with an empty turn": 1}


def test_turns_before_an_instruction_and_a_system_prompt_are_kept(tmp_path):
    row = {"instruction": "q", "input": "i", "chosen": "a", "rejected": "b", "history": [["x", "y"]], "system": "s"}
    [pair] = read(write(tmp_path / "p.jsonl", [row]))[0]
    turns = [turn("system", "s"), turn("user", "x"), turn("assistant", "y"), turn("user", "q\n\ni")]
    assert json.loads(pair.prompt) == turns
    assert read_prompts(tmp_path / "p.jsonl", "prompt", InvalidRows()) == [pair.prompt]
    with pytest.raises(UserError, match="line 1: field history must be a list of pairs"):
        pairs_of(tmp_path, {**row, "history": ["x"]})


def test_another_column_of_the_same_schema_can_say_who_won(tmp_path):
    row = {"prompt": "q", "response_0": "a", "response_1": "b", "better_response_id": 0, "safer_response_id": 1}
    assert pairs_of(tmp_path, row)[0] == [("a", "b")]
    pairs, reading = pairs_of(tmp_path, row, preferred="safer_response_id")
    assert pairs == [("b", "a")] and "chosen = safer_response_id" in reading.summary
    with pytest.raises(UserError, match=r"read as PKU-SafeRLHF, .* preferred=prompt does not change. Remove preferred"):
        pairs_of(tmp_path, row, preferred="prompt")


def test_conversations_of_several_turns_are_no_pair_of_responses(tmp_path):
    [item] = items()[:1]
    rows = by_name("lmsys-arena").rows(item)
    longer = [[*asked(item, text), turn("user", "And?"), turn("assistant", "x")] for text in (item.first, item.second)]
    rows.append({**rows[0], "conversation_a": longer[0], "conversation_b": longer[1]})
    pairs, reading = pairs_of(tmp_path, *rows)
    assert len(pairs) == 1 and reading.dropped["of several turns"] == 1
    rows = by_name("lmsys-kaggle").rows(item)
    others = ({"prompt": '["a", "b"]'}, {"response_a": '["a", "b"]'}, {"response_b": "[null]"})
    pairs, reading = pairs_of(tmp_path, *rows, *({**rows[0], **other} for other in others))
    assert len(pairs) == 1 and reading.dropped == {"of several turns": 2, "pairs with an empty turn": 1}


def test_transcripts_that_part_early_are_dropped(tmp_path):
    start = "\n\nHuman: a\n\nAssistant: "
    early = {name: f"{start}{name}\n\nHuman: b\n\nAssistant: c {name}" for name in ("chosen", "rejected")}
    pairs, reading = pairs_of(tmp_path, {"chosen": start + "x", "rejected": start + "xy"}, early)
    assert pairs == [("x", "xy")] and reading.dropped["that part before the last turn"] == 1


def test_a_transcript_beside_two_responses_is_read_as_turns_only_where_asked(tmp_path):
    prompt = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    path = write(tmp_path / "p.jsonl", [{"prompt": prompt, "chosen": " Yes.", "rejected": " No."}])
    [pair], reading = read(path)
    assert (pair.prompt, pair.chosen) == (prompt, " Yes.") and reading.is_as_before
    [pair], _ = read(path, preference_format="hh")
    assert [each["content"] for each in json.loads(pair.prompt)] == ["a", "b", "c"] and pair.chosen == "Yes."


CONTRADICTIONS = {
    "labels against scores": ("shp", {"labels": 1, "score_A": 3, "score_B": 5}, "field labels must agree with score_A"),
    "rejected scored higher": ("ultrafeedback", {"score_chosen": 1}, "score_chosen must not be below score_rejected"),
    "both won": ("lmsys-kaggle", {"winner_model_a": 1, "winner_model_b": 1}, "not both 1"),
    "no such side": (
        "pku-saferlhf",
        {"better_response_id": 2},
        "better_response_id must be one of 0, 1, not '2'",
    ),
    "an empty side": ("pku-saferlhf", {"better_response_id": None}, "field better_response_id must not be empty"),
    "no rank": ("nectar", {"answers": [{"answer": "a", "rank": None}, {"answer": "b", "rank": 1}]}, "field rank"),
    "too few scores": ("tlc4418-gold", {"answers": ["a", "b"], "gold_scores": [1]}, "a list of 2 numbers"),
    "three summaries": ("summarize", {"summaries": [{"text": "a"}] * 3}, "must be a list of two objects"),
    "a preference of 0": ("alpaca-farm", {"preference": 0}, "field preference must be from 1 (output_1) to 2"),
    "no strength": ("helpsteer3", {"overall_preference": "much"}, "field overall_preference must be a number"),
    "two prompts": ("rewardbench", {"prompt": ["a", "b"]}, "field prompt, message 1 must have role and content"),
    "an image": (
        "lmsys-arena",
        {"conversation_a": [turn("user", [{"type": "image", "image": "x"}]), turn("assistant", "y")]},
        "parts of the type text alone, not image",
    ),
    "another human": (
        "sharegpt",
        {"conversations": [{"from": "tool", "value": "x"}]},
        "must have the role system",
    ),
    "preferred by the user": (
        "openai",
        {"preferred_output": [turn("user", "x")]},
        "must be one message of",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradictory_row_is_reported_or_skipped(tmp_path, name):
    kind, wrong, words = CONTRADICTIONS[name]
    good = by_name(kind).rows(items()[0])
    path = write(tmp_path / "p.jsonl", [*good, {**good[0], **wrong}])
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        read(path)
    assert f"p.jsonl line {len(good) + 1}: " in str(caught.value) and "bad_lines=skip" in str(caught.value)
    invalid = InvalidRows(skip=True)
    preferences, reading = read(path, invalid)
    assert len(preferences) == len(invalid.skipped) == reading.skipped == 1
    assert "1 invalid row skipped" in reading.summary


def test_files_that_were_read_rightly_before_are_known_as_such(tmp_path):
    item = items()[0]
    scored = {"chosen": asked(item, "a"), "rejected": asked(item, "b"), "score_chosen": 2, "score_rejected": 1}
    plain = {"prompt": "q", "chosen": "a", "rejected": ""}
    for row in (scored, plain, by_name("rewardbench").rows(item)[0], {**plain, "system": ""}):
        assert pairs_of(tmp_path, row)[1].is_as_before, row
    for row in (by_name("hh").rows(item)[0], {**plain, "system": "s"}, {**plain, "chosen": str(asked(item, "a")[1:])}):
        assert not pairs_of(tmp_path, row)[1].is_as_before, row
    assert not pairs_of(tmp_path, scored, {**scored, "score_chosen": 1})[1].is_as_before


def test_an_unknown_file_is_refused_with_its_columns_and_the_options(tmp_path):
    row = {"prompt": "q", "completion": "a", "label": True}
    words = "must have the fields prompt, chosen, rejected or be of a kind that docs/files.md lists, but has prompt, "
    with pytest.raises(UserError, match=words + "completion, label. Name the columns by preference_fields="):
        pairs_of(tmp_path, row)
    with pytest.raises(UserError, match=r"must have the columns .*human_ref_A.*, but has prompt, completion, label"):
        pairs_of(tmp_path, row, preference_format="shp")


def test_a_file_of_ties_alone_says_so(tmp_path):
    row = {"prompt": "q", "response_1": "a", "response_2": "b", "preference_strength": 0}
    with pytest.raises(UserError, match=r"must contain a comparison. All were dropped \(2 ties\)"):
        pairs_of(tmp_path, row, row)


def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(tmp_path):
    rng = random.Random(0)
    pool = [
        None, "", " ", 0, 1, -2.5, float("nan"), True, [], {}, [1], ["x"], "[1", "{'a': 1}", "['a' 'b']", [None],
        [turn("assistant", "y")], [turn("user", "x"), turn("assistant", "y")], {"messages": []}, {"text": "x"},
        "\n\nHuman: a\n\nAssistant: b", "\n\nAssistant: b", "[{'role': 'user', 'content': 'x'}]", "<extra_id_1>",
        "\udc00", "a\0", [{"answer": "a", "rank": 1}],
    ]  # fmt: skip
    read_some = 0
    for kind in KINDS:
        good = kind.rows(items()[0])
        for _ in range(15):
            wrong = {name: rng.choice(pool) for name in rng.sample([*good[0]], k=2)}
            rows = [{**row, **wrong} for row in good]
            path = write(tmp_path / "p.jsonl", rng.sample([*rows, *good], k=2 * len(good)))
            for skip in (False, True):
                for options in ({}, {"preferred": "labels"}, {"preference_format": kind.name}):
                    try:
                        read_some += bool(read(path, InvalidRows(skip), **options))
                    except UserError as error:
                        assert "\n" not in str(error)
                with contextlib.suppress(UserError):
                    read_prompts(path, "prompt", InvalidRows(skip))
    assert read_some > 100


def test_the_page_lists_every_schema_with_the_columns_that_it_is_known_by():
    page = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    rows = {match[1]: match[0] for match in re.finditer(r"^\| `([\w-]+)`.*$", page, re.M)}
    for schema in SCHEMAS:
        assert all(f"`{column}`" in rows[schema.name] for column in schema.columns), schema.name
