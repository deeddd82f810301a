"""Rows come out the same from every kind of file; messages are read from cells however they were written."""

from __future__ import annotations

import gzip
import json
import os
import resource

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from tests.support.preference_files import write

from mlproject.errors import UserError
from mlproject.worlds.files import sources, stored_tables
from mlproject.worlds.files.messages import messages_of_text
from mlproject.worlds.files.preferences import Preference, read_preferences
from mlproject.worlds.files.prompts import read_prompts, read_prompts_with_counts
from mlproject.worlds.files.rows import InvalidRows
from mlproject.worlds.files.sources import read_rows

FIELDS = ("prompt", "chosen", "rejected")
ROWS = [
    {"prompt": "Why; is, it\tso?", "chosen": 'Because "of" that.', "rejected": "No\nidea."},
    {"prompt": "Ποιος; 😀", "chosen": "Εγώ.", "rejected": "{'role': 'none'}"},
]
PAIRS = [Preference(**row) for row in ROWS]
TURNS = [
    {"role": "user", "content": 'It\'s "so"?\n\nYes} {no'},
    {"role": "assistant", "content": "Yes [{'role': 1}]"},
    {"role": "user", "content": "Why?"},
]


def arrow_stream(path):
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def jsonl() -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def table(separator: str) -> str:
    return pd.DataFrame(ROWS).to_csv(sep=separator, index=False)


WRITERS = {
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + jsonl().encode())),
    "b.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())),
    "c.CSV.GZ": lambda path: path.write_bytes(gzip.compress(table(",").encode())),
    "d.tsv.gz": lambda path: path.write_bytes(gzip.compress(table("\t").encode())),
    "semicolons.csv": lambda path: path.write_text(table(";")),
    "tabs.csv": lambda path: path.write_text(table("\t")),
    "data.json": lambda path: path.write_text(json.dumps({"version": 1, "licence": ["a"], "data": ROWS}, indent=1)),
    "columns.json": lambda path: path.write_text(json.dumps(pd.DataFrame(ROWS).to_dict("list"))),
    "pandas.json": lambda path: pd.DataFrame(ROWS).to_json(path),
    "rows.json": lambda path: path.write_text(json.dumps({"rows": ROWS})),
    "hub.json": lambda path: path.write_text(
        json.dumps({"features": [{}], "rows": [{"row_idx": i, "row": row} for i, row in enumerate(ROWS)]})
    ),
    "blank_lines.json": lambda path: path.write_text("\n\n" + jsonl().replace("\n", "\n\n")),
    "e.parquet": lambda path: pd.DataFrame(ROWS).to_parquet(path),
    "f.feather": lambda path: pd.DataFrame(ROWS).to_feather(path),
    "g.arrow": lambda path: pyarrow.feather.write_feather(pa.Table.from_pylist(ROWS), path, compression="zstd"),
    "stream.arrow": arrow_stream,
    "folder": lambda path: datasets.Dataset.from_list(ROWS).save_to_disk(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_source_gives_the_same_rows(tmp_path, name):
    WRITERS[name](tmp_path / name)
    assert [row.values for row in read_rows(tmp_path / name, "preferences")] == ROWS
    assert read_preferences(tmp_path / name, FIELDS, InvalidRows()) == PAIRS


def test_one_object_is_one_row_even_if_its_fields_are_lists(tmp_path):
    row = {"chosen": TURNS[:2], "rejected": [TURNS[0], {"role": "assistant", "content": "No."}]}
    (tmp_path / "one.json").write_text(json.dumps(row, indent=2))
    expected = Preference(TURNS[0]["content"], TURNS[1]["content"], "No.")
    assert read_preferences(tmp_path / "one.json", FIELDS, InvalidRows()) == [expected]


def test_a_broken_object_over_several_lines_is_reported_at_its_line(tmp_path):
    (tmp_path / "p.json").write_text('{"data": [\n {"prompt": "x"},\n {"prompt" "y"}]}')
    with pytest.raises(UserError, match=r"p.json line 3: must be JSON"):
        read_prompts(tmp_path / "p.json", "prompt", InvalidRows())


def reordered(turns):
    return [{"content": turn["content"], "name": None, "role": turn["role"]} for turn in turns]


def halves(text):
    return text[:2], text[2:]


WRITTEN = {
    "JSON": json.dumps,
    "JSON, indented": lambda turns: json.dumps(turns, indent=2),
    "JSON, content first": lambda turns: json.dumps(reordered(turns), ensure_ascii=False),
    "Python": str,
    "Python, content first": lambda turns: str(reordered(turns)),
    "numpy": lambda turns: str(np.array(turns, dtype=object)),
    "numpy, content first": lambda turns: str(np.array(reordered(turns), dtype=object)),
    "ShareGPT": lambda turns: json.dumps(
        [{"from": {"user": "human", "assistant": "gpt"}[t["role"]], "value": t["content"]} for t in turns]
    ),
    "parts": lambda turns: json.dumps(
        [{**t, "content": [{"type": "text", "text": part} for part in halves(t["content"])]} for t in turns]
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_messages_in_cells_are_read_in_all_three_fields_however_they_are_written(tmp_path, form, ending):
    write = WRITTEN[form]
    answers = [{"role": "assistant", "content": text} for text in ('So\'s "it".', "No.")]
    row = {"prompt": write(TURNS), "chosen": write(answers[:1]), "rejected": write(answers[1:])}
    path = tmp_path / f"c.{ending}"
    path.write_text(json.dumps(row)) if ending == "jsonl" else pd.DataFrame([row]).to_csv(path, index=False)
    [pair] = read_preferences(path, FIELDS, InvalidRows())
    assert json.loads(pair.prompt) == TURNS
    assert (pair.chosen, pair.rejected) == ('So\'s "it".', "No.")
    [prompt], reading = read_prompts_with_counts(path, "prompt", InvalidRows())
    assert prompt == pair.prompt and pair.prompt.startswith('[{"role": "user"')
    assert reading.is_as_before == (form in ("JSON", "parts"))  # 0.1 knew the first for messages, and refused parts


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]", "[{}]", "{'a': 1}", '[{"name": "role"}]', "[{'role': is no list", "plain", '{"role": "x"}',
        "[{'from': 1}]", "__import__('os').system('false')", "[{'k': ''' 'role': '''}]", "{'role': f(x), 'content': 1}",
        '[{"role": "CEO", "name": "Bob"}]', '[{"role": "CEO", "content": "x"}]', '{"role": "engineer", "content": "x"}',
        '[{"content": "x", "role": "user"}, {"role": "user"}]',
    ],
)  # fmt: skip
def test_other_texts_stay_texts(text):
    assert messages_of_text("prompt", text) is None


@pytest.mark.parametrize(
    "text",
    [
        "[{'role': open('x'), 'content': 'y'}]",
        "[{'role': 'user', 'content': " + "(" * 5000 + "}]",
        "[{'role': 'user', 'content': '" + "x" * 1_000_001 + "'}]",
        "[{'role': 'user' 'content': 3}]",
    ],
)
def test_what_looks_like_messages_but_is_not_readable_is_refused_and_never_executed(text):
    with pytest.raises(ValueError, match="field chosen looks like messages"):
        messages_of_text("chosen", text)


@pytest.mark.parametrize("content", [{"prompt": ["a", "b"]}, {"prompt": {"0": "a", "1": "b"}}])
def test_a_table_of_one_column_is_read(tmp_path, content):
    (tmp_path / "p.json").write_text(json.dumps(content))
    assert read_prompts(tmp_path / "p.json", "prompt", InvalidRows()) == ["a", "b"]


@pytest.mark.parametrize("column", ["input", "context"])
def test_what_an_instruction_speaks_of_is_kept(tmp_path, column):
    row = {"instruction": "Sum up.", column: "A long story.", "response": "It ends.", "system_prompt": "Be brief."}
    [prompt] = read_prompts(write(tmp_path / "p.jsonl", [row]), "prompt", InvalidRows())
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Sum up.\n\nA long story."}]
    assert json.loads(prompt) == turns
    row |= {"response_a": "a", "response_b": "b", "winner": "b"}
    [preference] = read_preferences(write(tmp_path / "p.jsonl", [row]), FIELDS, InvalidRows())
    assert json.loads(preference.prompt) == turns and preference.chosen == "b"


def test_one_object_whose_fields_are_lists_of_messages_is_one_row(tmp_path):
    row = {"chosen": [TURNS[0], TURNS[1]], "rejected": [TURNS[0], {"role": "assistant", "content": "No"}]}
    (tmp_path / "p.json").write_text(json.dumps(row))
    [preference] = read_preferences(tmp_path / "p.json", FIELDS, InvalidRows())
    assert preference == Preference(TURNS[0]["content"], TURNS[1]["content"], "No")


@pytest.mark.parametrize("column", ["system", "system_prompt", "system_message"])
def test_a_system_column_is_kept_and_counts_as_another_reading(tmp_path, column):
    rows = [{"prompt": "Hi", column: "Be brief."}, {"prompt": "Ho", column: ""}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    [first, second], reading = read_prompts_with_counts(tmp_path / "p.jsonl", "prompt", InvalidRows())
    assert [turn["content"] for turn in json.loads(first)] == ["Be brief.", "Hi"] and second == "Ho"
    assert not reading.is_as_before
    (tmp_path / "p.jsonl").write_text(json.dumps(rows[1]))
    assert read_prompts_with_counts(tmp_path / "p.jsonl", "prompt", InvalidRows())[1].is_as_before


def test_a_prompt_that_every_model_would_take_for_messages_must_be_some(tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": '[{"role": "CEO", "name": "Bob"}]'}))
    with pytest.raises(UserError, match="line 1: field prompt, message 1 must have role and content"):
        read_prompts(tmp_path / "p.jsonl", "prompt", InvalidRows())
    row = {
        "prompt": "Who?",
        "chosen": '[{"role": "CEO", "name": "Bob"}]',
        "rejected": '{"role": "CEO", "content": "x"}',
    }
    (tmp_path / "c.jsonl").write_text(json.dumps(row))
    assert read_preferences(tmp_path / "c.jsonl", FIELDS, InvalidRows()) == [Preference(**row)]


def test_a_prompt_nested_without_end_is_reported(tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": '[{"role": ' + "[" * 100_000}))
    with pytest.raises(UserError, match="line 1: field prompt must not be nested so deeply"):
        read_prompts(tmp_path / "p.jsonl", "prompt", InvalidRows())


SUPERVISED = {
    "messages": {"messages": TURNS[:2]},
    "messages that end with the user": {"messages": TURNS[:1]},
    "conversations": {
        "id": 1, "conversations": [{"from": "human", "value": TURNS[0]["content"]}, {"from": "gpt", "value": "Yes"}],
    },
    "instruction and output": {"instruction": TURNS[0]["content"], "input": "", "output": "Yes"},
    "prompt and completion": {"prompt": TURNS[0]["content"], "completion": "Yes"},
    "messages of parts": {
        "messages": [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in TURNS[:2]],
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", SUPERVISED)
@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_supervised_files_give_their_prompts(tmp_path, kind, ending):
    path = write(tmp_path / f"p.{ending}", [SUPERVISED[kind]])
    assert read_prompts(path, "prompt", InvalidRows()) == [TURNS[0]["content"]]


def test_a_supervised_conversation_of_several_turns_keeps_all_but_the_last_answer(tmp_path):
    path = write(tmp_path / "p.jsonl", [{"messages": [{"role": "developer", "content": "S"}, *TURNS, TURNS[1]]}])
    [prompt] = read_prompts(path, "prompt", InvalidRows())
    assert json.loads(prompt) == [{"role": "system", "content": "S"}, *TURNS]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"prompt": "a", "prompt": "b"}\n', "it has the field 'prompt' twice"),
        ("a.jsonl", '{"x": {"y": 1, "y": 2}}\n', "it has the field 'y' twice"),
        ("a.jsonl", '{"prompt": ' + "9" * 5000 + "}\n", "limit"),
        ("a.jsonl", '{"prompt": ' + "[" * 100_000 + "\n", "nested so deeply"),
    ],
)
def test_a_row_that_reads_in_two_ways_is_no_row(tmp_path, name, content, said):
    (tmp_path / name).write_text('{"prompt": "good"}\n' + content)
    good, bad = read_rows(tmp_path / name, "prompts")
    assert good.values == {"prompt": "good"}
    assert bad.values == {}
    assert said in bad.problem
    assert "\n" not in bad.problem


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b'[{"prompt": "a", "prompt": "b"}]', "it has the field 'prompt' twice"),
        ("a.json", b"[" * 100_000, "nested so deeply"),
        ("a.csv", b"prompt,prompt\na,b\n", "names prompt twice"),
        ("a.parquet", b"PAR1 and nothing else PAR1", "must be Parquet"),
        ("a.arrow", b"ARROW1\0\0" + b"\xff" * 100, "must be an Arrow file"),
        ("a.txt", b"caf\xe9\n", "must be UTF-8"),
        ("a.jsonl.gz", b"not packed", "must be a whole gzip file"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused_in_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as refused:
        read_rows(tmp_path / name, "prompts")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_text_in_parquet_that_is_not_utf8_is_refused(tmp_path):
    offsets, data = pa.py_buffer(np.array([0, 1], dtype=np.int32).tobytes()), pa.py_buffer(b"\xff")
    column = pa.Array.from_buffers(pa.string(), 1, [None, offsets, data])
    pyarrow.parquet.write_table(pa.table({"prompt": column}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="must be Parquet"):
        read_rows(tmp_path / "a.parquet", "prompts")


def test_pipes_devices_loops_and_impossible_names_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "device.txt").symlink_to("/dev/zero")
    for name in ("pipe.jsonl", "loop.jsonl", "device.txt", "n" * 5000 + ".jsonl", "a\0b.jsonl", ""):
        with pytest.raises(UserError):
            read_rows(tmp_path / name, "prompts")


def test_what_unpacks_to_more_than_can_be_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST", 1000)
    for name in ("a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.txt.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b'{"prompt": "' + b"x" * 100_000 + b'"}\n'))
        with pytest.raises(UserError, match=r"must hold at most .* of text, after unpacking"):
            read_rows(tmp_path / name, "prompts")


@pytest.mark.parametrize("kind", ["string", "large_string"])
@pytest.mark.parametrize("kept", [True, False], ids=["dictionary", "plain"])
def test_a_text_that_is_stored_once_for_many_rows_is_not_written_out(tmp_path, kind, kept):
    """200 rows of 64 MB in a file of 2 kB."""
    text = pa.array(["x" * 2**26], type=getattr(pa, kind)())
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 200, type=pa.int32()), text)
    path = tmp_path / "p.parquet"
    pyarrow.parquet.write_table(pa.table({"prompt": column}), path, compression="zstd", store_schema=kept)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"p\.parquet: must hold at most .* of text, after unpacking"):
        stored_tables.parquet_table(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # kB


def test_tables_that_unpack_to_more_than_can_be_read_are_refused_before_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_tables, "LARGEST", 10_000_000)
    texts = pa.array(["x" * 1000]).dictionary_encode().take(pa.array([0] * 50_000))
    pyarrow.parquet.write_table(pa.table({"prompt": texts}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    with pytest.raises(UserError, match=r"must hold at most .* of text, after unpacking, and 10,000,000 rows"):
        read_rows(tmp_path / "a.parquet", "prompts")
    monkeypatch.setattr(stored_tables, "MOST_ROWS", 1000)
    pyarrow.feather.write_feather(pa.table({"prompt": pa.nulls(1001)}), tmp_path / "a.arrow")
    with pytest.raises(UserError, match="and 1,000 rows"):
        read_rows(tmp_path / "a.arrow", "prompts")


def test_a_text_longer_than_any_model_reads_is_an_invalid_row(tmp_path):
    (tmp_path / "a.txt").write_text("short\n" + "x" * 1_000_001 + "\n")
    with pytest.raises(UserError, match=r"a\.txt line 2: field prompt must have at most 1,000,000 characters"):
        read_prompts(tmp_path / "a.txt", "prompt", InvalidRows())
