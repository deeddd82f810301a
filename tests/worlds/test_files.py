"""A user's prompts and comparisons: the same rows in every format; skipped rows are counted and listed."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace

import datasets
import pandas as pd
import pytest
from tests.support.checkpoints import TEXTS, byte_tokenizer, write_preferences

from mlproject.errors import UserError
from mlproject.models.prompt_format import PromptFormat
from mlproject.worlds.files import snapshot as snapshot_module
from mlproject.worlds.files.preferences import Preference, read_preferences
from mlproject.worlds.files.prompts import fit_prompts, read_prompts, split_prompts
from mlproject.worlds.files.rows import InvalidRows
from mlproject.worlds.files.snapshot import path_and_digest, take_snapshot, train_preferences
from mlproject.worlds.files.spec import ReadOptions
from mlproject.worlds.files.world import Files

PROMPTS = [
    *TEXTS,
    "with, a comma",
    'with "quotes"',
    "a tab\tinside",
    "  kept spaces  ",
    "line\u2028separator",
    "NA",
    "1",
]
FIELDS = ("prompt", "chosen", "rejected")
OPTIONS = ReadOptions(
    world_seed=0,
    prompt_field="prompt",
    preference_fields=FIELDS,
    bad_lines="stop",
    max_prompt_tokens=20,
    max_response_tokens=8,
    long_prompts="cut",
    curve_prompts=4,
    audit_prompts=5,
)


def _csv(path, separator):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerows([["number", "prompt"], *([i, text] for i, text in enumerate(PROMPTS))])


def _jsonl(ascii_only):
    return lambda path: path.write_text(
        "".join(json.dumps({"prompt": text}, ensure_ascii=ascii_only) + "\n" for text in PROMPTS), encoding="utf-8"
    )


WRITERS = {
    "a.jsonl": _jsonl(True),
    "b.ndjson": _jsonl(False),
    "c.json": lambda path: path.write_text(json.dumps([{"prompt": text} for text in PROMPTS], indent=2)),
    "lines.json": _jsonl(False),
    "d.csv": lambda path: _csv(path, ","),
    "e.TSV": lambda path: _csv(path, "\t"),
    "f.parquet": lambda path: pd.DataFrame({"prompt": PROMPTS}).to_parquet(path),
    "g.txt": lambda path: path.write_text("\n".join(PROMPTS), encoding="utf-8"),
    "dataset": lambda path: datasets.Dataset.from_dict({"prompt": PROMPTS}).save_to_disk(path),
    "splits": lambda path: datasets.DatasetDict(
        {name: datasets.Dataset.from_dict({"prompt": texts}) for name, texts in (("test", ["no"]), ("train", PROMPTS))}
    ).save_to_disk(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_prompts_in_order(tmp_path, name):
    WRITERS[name](tmp_path / name)
    assert read_prompts(tmp_path / name, "prompt", InvalidRows()) == PROMPTS


@pytest.mark.parametrize("name", ["a.jsonl", "d.csv", "e.tsv", "g.txt"])
def test_a_byte_order_mark_carriage_returns_and_blank_lines_change_nothing(tmp_path, name):
    texts = TEXTS
    if name.endswith("jsonl"):
        lines = [json.dumps({"prompt": text}, ensure_ascii=False) for text in texts]
    else:
        quoted = [f'"{text}"' for text in texts] if name[-3:] in ("csv", "tsv") else texts
        lines = (["prompt"] if name[-3:] in ("csv", "tsv") else []) + quoted
    text = "\r\n".join([lines[0], "", *lines[1:], "", ""])
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_prompts(tmp_path / name, "prompt", InvalidRows()) == texts


def test_equal_prompts_count_once_and_conversations_keep_their_turns(tmp_path):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Ποιος; 😀"}]
    rows = ["a", "b", "a", [{"role": "user", "content": "b"}], [{"role": "user", "content": "c"}], turns]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": row}) for row in rows))
    *texts, conversation = read_prompts(path, "prompt", InvalidRows())
    assert texts == ["a", "b", "c"]
    assert json.loads(conversation) == turns


def test_a_conversation_written_as_json_text_is_one_in_a_table_too(tmp_path):
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}]
    pd.DataFrame({"prompt": [json.dumps(turns), '[{"role": is no JSON']}).to_csv(tmp_path / "p.csv", index=False)
    pd.DataFrame({"prompt": [turns, '[{"role": is no JSON']}).astype(object).iloc[:1].to_parquet(tmp_path / "p.parquet")
    conversation, text = read_prompts(tmp_path / "p.csv", "prompt", InvalidRows())
    assert json.loads(conversation) == turns
    assert text == '[{"role": is no JSON'
    assert read_prompts(tmp_path / "p.parquet", "prompt", InvalidRows()) == [conversation]


def test_skipped_rows_are_counted_and_listed_with_line_and_field(tmp_path):
    lines = [
        b'{"prompt": "good"}',
        b"{no json",
        b'{"other": "x"}',
        b"",
        b'{"prompt": "\xff"}',
        b'{"prompt": null}',
        b"[1]",
        b'{"prompt": "also good"}',
        b'{"prompt": "half \\ud83d"}',
    ]
    path = tmp_path / "p.jsonl"
    path.write_bytes(b"\n".join(lines))
    invalid = InvalidRows(skip=True)
    assert read_prompts(path, "prompt", invalid) == ["good", "also good"]
    problems = {
        2: "must be JSON",
        3: "field prompt is missing",
        5: "must be UTF-8",
        6: "must not be empty",
        7: "not a list",
    }
    problems[9] = "surrogate"
    assert len(invalid.skipped) == len(problems)
    for (number, words), line in zip(problems.items(), invalid.skipped, strict=True):
        assert line.startswith(f"{path} line {number}: ")
        assert words in line
    with pytest.raises(UserError, match=r"p.jsonl line 2: must be JSON .* bad_lines=skip"):
        read_prompts(path, "prompt", InvalidRows())


def test_splits_are_disjoint_exact_and_moved_by_the_seed_alone():
    prompts = [f"p{i}" for i in range(30)]
    splits = split_prompts(prompts, 0, {"curve": 7, "audit": 5})
    assert {name: len(texts) for name, texts in splits.items()} == {"train": 18, "curve": 7, "audit": 5}
    assert sorted(text for texts in splits.values() for text in texts) == sorted(prompts)
    assert split_prompts(prompts, 0, {"curve": 7, "audit": 5}) == splits
    assert set(split_prompts(prompts, 1, {"curve": 7, "audit": 5})["curve"]) != set(splits["curve"])


def test_one_prompt_must_be_left_to_train_on():
    prompts = [f"p{i}" for i in range(12)]
    with pytest.raises(
        UserError, match="more than 12 distinct prompts with curve_prompts=7 and audit_prompts=5, but there are 12"
    ):
        split_prompts(prompts, 0, {"curve": 7, "audit": 5})
    assert len(split_prompts([*prompts, "one more"], 0, {"curve": 7, "audit": 5})["train"]) == 1


def test_training_prompts_start_over_and_held_out_ones_do_not(tmp_path):
    Files({"train": ["a", "b", "c"], "curve": ["x", "y"], "audit": ["ζ"]}, 8).save(tmp_path)
    world = Files.load(tmp_path)
    assert world.prompts("train", 7) == ["a", "b", "c", "a", "b", "c", "a"]
    assert world.prompts("curve", 2) == ["x", "y"]
    assert world.all_prompts("audit") == ["ζ"]
    assert world.max_response_tokens == 8
    with pytest.raises(ValueError, match="3 prompts of split curve: it has only 2"):
        world.prompts("curve", 3)
    with pytest.raises(ValueError, match="split 'test': must be one of train, curve, audit"):
        world.prompts("test", 1)


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("most", [1, 2, 5, 12])
@pytest.mark.parametrize("text", [*TEXTS, "And again. " * 9, "😱" * 6])
def test_a_long_prompt_keeps_its_end_as_long_as_it_may_be_when_it_is_read_anew(text, most, chat):
    tokenizer = byte_tokenizer(300, chat=chat)

    def length(some):
        return len(tokenizer(some, add_special_tokens=False)["input_ids"])

    cut = PromptFormat(tokenizer, 8).cut(text, most)
    if length(text) <= most:
        assert cut is None
    else:
        assert text.endswith(cut)
        assert length(cut) <= most
        start = len(text) - len(cut) - 1
        assert length(text[start:]) > most, "one more character would have been too much"


def test_long_prompts_are_cut_skipped_or_end_the_study():
    def cut(text, most):
        return text[-most:] if len(text) > most else None

    prompts = ["short", "much longer", "even longer", "x    ", "way too  long    "]
    assert fit_prompts(prompts, 6, "cut", cut) == (["short", "longer", "x    ", "ng    "], 3)
    assert fit_prompts(prompts, 6, "skip", cut) == (["short", "x    "], 3)
    with pytest.raises(
        UserError, match=r"at most max_prompt_tokens=6 tokens, but 'much longer'.*long_prompts=cut or skip"
    ):
        fit_prompts(prompts, 6, "stop", cut)
    with pytest.raises(UserError, match="at most max_prompt_tokens=3 tokens, but all 2 have more"):
        fit_prompts(prompts[1:3], 3, "skip", cut)


def test_three_forms_of_comparisons_are_equivalent(tmp_path):
    triples = [("Ποιος; 😀", "καλό", "κακό"), ("Why?", "Because.", "No.")]
    user = [[{"role": "user", "content": prompt}] for prompt, _, _ in triples]
    responses = [[[{"role": "assistant", "content": text}] for text in triple[1:]] for triple in triples]
    forms = {
        "texts": [dict(zip(FIELDS, triple, strict=True)) for triple in triples],
        "messages": [dict(zip(FIELDS, (u, *s), strict=True)) for u, s in zip(user, responses, strict=True)],
        "conversations": [{"chosen": u + s[0], "rejected": u + s[1]} for u, s in zip(user, responses, strict=True)],
    }
    expected = [Preference(*triple) for triple in triples]
    for name, rows in forms.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / f"{name}.parquet")
        for ending in ("jsonl", "parquet"):
            assert read_preferences(tmp_path / f"{name}.{ending}", FIELDS, InvalidRows()) == expected
    renamed = [{"q": row["prompt"], "good": row["chosen"], "bad": row["rejected"]} for row in forms["texts"]]
    pd.DataFrame(renamed).to_csv(tmp_path / "other.csv", index=False)
    assert read_preferences(tmp_path / "other.csv", ("q", "good", "bad"), InvalidRows()) == expected


def cut_words(text, most):
    words = text.split(" ")
    return " ".join(words[-most:]) if len(words) > most else None


def test_held_out_prompts_are_never_among_the_comparisons_that_reward_models_learn_from(tmp_path):
    path = write_preferences(tmp_path / "c.jsonl", 60)
    for world_seed in range(3):
        for most in (20, 3):  # uncut; cut, so that many prompts become equal only then
            options = replace(OPTIONS, world_seed=world_seed, max_prompt_tokens=most)
            snapshot = take_snapshot(options, "", str(path), cut_words)
            preferences, _, skipped = train_preferences(options, str(path), snapshot.world, cut_words)
            held_out = {*snapshot.world.all_prompts("curve"), *snapshot.world.all_prompts("audit")}
            assert len(held_out) == 9
            assert not held_out & {each.prompt for each in preferences}
            assert {each.prompt for each in preferences} == set(snapshot.world.all_prompts("train"))
            assert skipped == []
            assert most == 20 or snapshot.long > 0


def test_comparisons_with_long_prompts_follow_the_rule_for_prompts(tmp_path):
    path = tmp_path / "c.jsonl"
    rows = [{"prompt": f"q {i}", "chosen": "a", "rejected": "b"} for i in range(12)]
    rows.append({"prompt": "a prompt of many words", "chosen": "a", "rejected": "b"})
    path.write_text("\n".join(map(json.dumps, rows)))
    world = Files({"train": ["t"], "curve": ["w"] * 4, "audit": ["z"] * 5}, 8)
    options = replace(OPTIONS, max_prompt_tokens=3)
    long_prompts = {}
    for rule in ("cut", "skip"):
        preferences, _, _ = train_preferences(replace(options, long_prompts=rule), str(path), world, cut_words)
        long_prompts[rule] = [each.prompt for each in preferences if not each.prompt.startswith("q")]
        assert len(preferences) == 12 + (rule == "cut")
    assert long_prompts == {"cut": ["of many words"], "skip": []}
    with pytest.raises(UserError, match="preferences: each prompt must have at most max_prompt_tokens=3"):
        train_preferences(replace(options, long_prompts="stop"), str(path), world, cut_words)


def test_what_is_snapshot__comes_back_and_says_how_much_was_left_out(tmp_path):
    path = tmp_path / "p.jsonl"
    good = [{"prompt": f"{text} {i}"} for i, text in enumerate(TEXTS * 4)]
    path.write_text("\n".join(json.dumps(row) for row in [*good, {"prompt": 3}, {"prompt": "w " * 30 + "end"}]))
    snapshot = take_snapshot(replace(OPTIONS, bad_lines="skip"), str(path), "", cut_words)
    assert len(snapshot.skipped) == 1 and "line 21: field prompt must be a text, not a number" in snapshot.skipped[0]
    assert snapshot.long == 1
    snapshot.world.save(tmp_path / "snapshot")
    again = Files.load(tmp_path / "snapshot")
    counts = {"train": 12, "curve": 4, "audit": 5}
    assert {split: len(again.all_prompts(split)) for split in counts} == counts
    assert again.prompts("train", 12) == snapshot.world.prompts("train", 12)
    everything = {text for split in counts for text in again.all_prompts(split)}
    assert everything == {row["prompt"] for row in good} | {"w " * 19 + "end"}


def test_a_file_that_has_not_changed_is_read_once_for_its_digest(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(snapshot_module, "digest_of_files", lambda root, files: read.append(root) or str(len(read)))
    path = tmp_path / "p.txt"
    path.write_text("a\nb")
    assert [path_and_digest(str(path))["sha256"] for _ in range(3)] == ["1"] * 3
    path.write_text("a\nbc")
    assert path_and_digest(str(path))["sha256"] == "2"


def test_a_source_is_known_by_its_content_and_not_by_when_it_was_written(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("a\nb")
    first = path_and_digest(str(path))
    os.utime(path, (1, 1))
    assert path_and_digest(str(path)) == first
    path.write_text("a\nc")
    assert path_and_digest(str(path))["sha256"] != first["sha256"]
    folder = tmp_path / "d"
    WRITERS["dataset"](folder)
    before = path_and_digest(str(folder))
    [data] = folder.glob("*.arrow")
    data.write_bytes(data.read_bytes() + b"x")
    assert path_and_digest(str(folder))["sha256"] != before["sha256"]
