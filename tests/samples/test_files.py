"""A table is the same whatever kind of file it lies in and whatever form it has."""

import gzip
import json

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.samples.planted import planted, scores_by_prompt, wide

from mlproject.errors import UserError
from mlproject.samples.pool import Choice
from mlproject.samples.read import read_samples

TABLE = planted()


def write(frame: pd.DataFrame, path):
    path.parent.mkdir(exist_ok=True)
    if path.name.endswith((".jsonl", ".jsonl.gz")) and not path.name.startswith("parts"):
        frame.to_json(path, orient="records", lines=True)
    elif ".csv" in path.name:
        frame.to_csv(path, index=False)
    elif path.suffix == ".tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif path.suffix == ".json":
        frame.to_json(path, orient="records")
    elif path.suffix == ".feather":
        frame.to_feather(path)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.name.startswith("parts"):  # of unequal size, and in folders, as the hub has them
        inner, ending = path / "data", path.suffix or ".parquet"
        inner.mkdir(parents=True)
        third = len(frame) // 3
        write(frame[:third].reset_index(drop=True), inner / f"train-00000-of-00002{ending}")
        write(frame[third:].reset_index(drop=True), inner / f"train-00001-of-00002{ending}")
        write(frame[:2].reset_index(drop=True), inner / f"test-00000-of-00001{ending}")
        (path / "README.md").write_text("# A table")
    else:
        datasets.Dataset.from_pandas(frame).save_to_disk(str(path))
    return path


KINDS = (
    "t.jsonl",
    "t.jsonl.gz",
    "t.csv",
    "t.csv.gz",
    "t.tsv",
    "t.json",
    "t.parquet",
    "t.feather",
    "saved",
    "parts",
    "parts.jsonl",
)


@pytest.mark.parametrize("form", ["long", "wide"])
def test_scores_in_half_precision_are_read(tmp_path, form):
    frame = TABLE.assign(good=TABLE.good.astype("float16"), bad=TABLE.bad.astype("float16"))
    rows = pd.DataFrame(wide(frame)) if form == "wide" else frame
    table = pa.Table.from_pandas(rows, preserve_index=False)
    if form == "wide":
        for name in ("good", "bad"):
            halves = [np.array(values, np.float16) for values in rows[name]]
            column = pa.array(halves, pa.list_(pa.float16()))
            table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, tmp_path / "t.parquet")
    pool = read_samples(tmp_path / "t.parquet", {}, Choice())
    assert pool.form == form and list(pool.scores) == ["good", "bad"]
    expected = {prompt: sorted(rows.good.astype(float)) for prompt, rows in frame.groupby("prompt", sort=False)}
    assert scores_by_prompt(pool, "good") == expected


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("form", ["long", "wide"])
def test_every_kind_of_file_gives_the_same_samples_in_both_forms(tmp_path, name, form):
    frame = TABLE if form == "long" else pd.DataFrame(wide(TABLE))
    if form == "wide" and ("csv" in name or "tsv" in name):
        frame = frame.assign(**{c: frame[c].map(json.dumps) for c in frame.columns if c != "prompt"})
    pool = read_samples(write(frame, tmp_path / name), {}, Choice())
    assert pool.form == form
    assert list(pool.scores) == ["good", "bad"]
    for column in ("gold", "good", "bad"):
        expected = {prompt: sorted(rows[column]) for prompt, rows in TABLE.groupby("prompt", sort=False)}
        assert scores_by_prompt(pool, column) == {key: pytest.approx(value) for key, value in expected.items()}
    texts = dict(zip(pool.gold_B.round(6).tolist(), pool.responses.to_pylist(), strict=True))
    assert texts == dict(zip(TABLE.gold.round(6), TABLE.response, strict=True))


def test_messages_are_prompts_and_responses(tmp_path):
    chats = [
        {
            "messages": [{"role": "user", "content": row.prompt}],
            "completion": [{"role": "assistant", "content": row.response}],
            "gold": row.gold,
            "rm": row.good,
        }
        for row in TABLE.itertuples()
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(map(json.dumps, chats)))
    pool = read_samples(path, {}, Choice())
    assert pool.prompts == list(dict.fromkeys(TABLE.prompt))
    assert sorted(pool.responses.to_pylist()) == sorted(TABLE.response)


def test_a_whole_conversation_is_prompt_and_response(tmp_path):
    chats = [
        {
            "conversation": [{"from": "human", "value": row.prompt}, {"from": "gpt", "value": row.response}],
            "judge_score": row.gold,
            "rm": row.good,
        }
        for row in TABLE.itertuples()
    ]
    with gzip.open(tmp_path / "chats.jsonl.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, chats)))
    pool = read_samples(tmp_path / "chats.jsonl.gz", {}, Choice())
    assert pool.prompts == list(dict.fromkeys(TABLE.prompt))
    assert sorted(pool.responses.to_pylist()) == sorted(TABLE.response)
    assert "gold = judge_score" in pool.read_as


def test_objects_in_cells_are_read_by_their_fields(tmp_path):
    rows = [
        {
            "question": prompt,
            "candidates": [
                {"text": row.response, "scores": {"rm_a": row.good, "rm_b": row.bad}, "gold_score": row.gold}
                for row in group.itertuples()
            ],
        }
        for prompt, group in TABLE.groupby("prompt", sort=False)
    ]
    path = tmp_path / "nested.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    pool = read_samples(path, {}, Choice())
    assert (pool.form, list(pool.scores)) == ("wide", ["candidates.scores.rm_a", "candidates.scores.rm_b"])
    expected = {prompt: sorted(rows.good) for prompt, rows in TABLE.groupby("prompt", sort=False)}
    assert scores_by_prompt(pool, "candidates.scores.rm_a") == {k: pytest.approx(v) for k, v in expected.items()}


def test_ids_stand_for_prompts(read):
    frame = TABLE.assign(prompt_id=TABLE.prompt.str.extract(r"(\d+)")[0].astype(int)).drop(columns="prompt")
    assert read(frame).prompts == [str(i) for i in range(6)]


def test_numbers_in_texts_are_numbers(read):
    pool = read(TABLE.assign(good=TABLE.good.map(str)))
    assert sorted(pool.scores["good"]) == pytest.approx(sorted(TABLE.good))


def test_a_folder_that_is_not_one_table_is_refused(tmp_path):
    def refused(folder, message):
        with pytest.raises(UserError) as error:
            read_samples(folder, {}, Choice())
        assert message in str(error.value)

    for name in ("dev-0", "test-0"):
        write(TABLE, tmp_path / "splits" / f"{name}.parquet")
    refused(tmp_path / "splits", "or a split train, not dev, test")
    write(TABLE, tmp_path / "odd" / "part-0.parquet")
    write(TABLE.rename(columns={"good": "better"}), tmp_path / "odd" / "part-1.parquet")
    refused(tmp_path / "odd", "only one of part-0.parquet and part-1.parquet has the column better")
    write(TABLE, tmp_path / "kinds" / "part-0.csv")
    write(TABLE, tmp_path / "kinds" / "part-1.jsonl")
    refused(tmp_path / "kinds", "must hold files of one kind, not .csv, .jsonl")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "must be a folder saved by datasets")
