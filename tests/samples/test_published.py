"""Published files of scored responses, as they are: tlc4418's generations, RewardBench 2 and its results."""

import json

import numpy as np
import pandas as pd
import pytest

from mlproject.errors import UserError
from mlproject.samples.curves import best_of_k_accuracy
from mlproject.samples.pool import Choice
from mlproject.samples.read import read_samples

RNG = np.random.default_rng(0)
WORDS = ["phone", "cable", "router", "screen", "restart", "please", "answer", "update"]


def texts(count):
    return [" ".join(RNG.choice(WORDS, size=6)) for _ in range(count)]


def generations(prompts=20, answers=7):
    """As tlc4418/gold_labelled_gens, with the scores of two reward models in columns of their own."""
    rows = []
    for i in range(prompts):
        gold = RNG.normal(size=answers)
        scores = {name: (gold + RNG.normal(size=answers)).tolist() for name in ("pythia-44m", "pythia_1.3b")}
        task = {"instruction": f"Do task {i // 2}", "input": "" if i % 2 else f"with the {WORDS[i % 8]} of {i}"}
        rows.append({**task, "answers": texts(answers), "gold_scores": gold.tolist(), **scores})
    return pd.DataFrame(rows)


def bench(items=40):
    """As allenai/reward-bench-2: four responses, of which one is right; in the subset Ties several."""
    rows = []
    for i in range(items):
        right = 3 if i % 10 == 0 else 1
        rows.append(
            {
                "id": str(i),
                "prompt": f"Question {i}?",
                "chosen": texts(right),
                "rejected": texts(3),
                "num_correct": right,
                "num_incorrect": 3,
                "total_completions": right + 3,
                "models": ["a"] * (right + 3),
                "subset": "Ties" if right > 1 else "Focus",
                "scores": RNG.normal(size=right + 3).tolist(),
            }
        )
    return pd.DataFrame(rows)


def results(table, nested=False):
    """As RewardBench's program writes them: texts and scores in one list, the right ones first."""
    scores = table.scores.map(lambda row: [[score] for score in row]) if nested else table.scores
    joined = table.assign(text=table.chosen + table.rejected, scores=scores, results=0.5)
    return joined.drop(columns=["chosen", "rejected"])


def write(table, path):
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=path.suffix == ".jsonl")
    return path


@pytest.mark.parametrize("ending", [".parquet", ".json", ".jsonl"])
def test_gold_labelled_generations_are_samples_with_their_gold(tmp_path, ending):
    table = generations()
    pool = read_samples(write(table, tmp_path / f"gens{ending}"), {}, Choice())
    assert pool.form == "wide" and pool.read_as.startswith(
        "read as wide: prompt = instruction, response = answers, gold"
    )
    expected = {
        f"{row.instruction}\n\n{row.input}" if row.input else row.instruction: row for row in table.itertuples()
    }
    assert set(pool.prompts) == set(expected)
    start = 0
    for prompt, count in zip(pool.prompts, pool.counts_P, strict=True):
        mine = pool.gold_B[start : start + count]
        rows = [row for row in table.itertuples() if prompt in (row.instruction, f"{row.instruction}\n\n{row.input}")]
        answers = {a: g for row in rows for a, g in zip(row.answers, row.gold_scores, strict=True)}
        for gold, text in zip(mine, pool.responses[start : start + count].to_pylist(), strict=True):
            assert answers[text] == pytest.approx(gold)
        start += count
    assert list(pool.scores) == ["pythia-44m", "pythia_1.3b"]


def accuracy(table):
    """Share of rows whose best response is right, by hand; equal scores share (there are none)."""
    return np.mean([int(np.argmax(row.scores)) < row.num_correct for row in table.itertuples()])


@pytest.mark.parametrize("form", ["bench", "results", "nested", "pairs"])
def test_rewardbench_2_gives_its_accuracy_in_every_form(tmp_path, form):
    table = bench()
    written = {"bench": table, "results": results(table), "nested": results(table, nested=True), "pairs": table}[form]
    name = "scores"
    if form == "pairs":
        split = [(row.scores[: row.num_correct], row.scores[row.num_correct :]) for row in table.itertuples()]
        chosen, rejected = zip(*split, strict=True)
        written = table.drop(columns="scores").assign(rm_chosen=list(chosen), rm_rejected=list(rejected))
        name = "rm"
    pool = read_samples(write(written, tmp_path / "rb2.json"), {}, Choice())
    assert pool.form == "best-of-k" and list(pool.scores) == [name]
    assert pool.gold_B.sum() == table.num_correct.sum() and pool.counts_P.sum() == table.total_completions.sum()
    assert best_of_k_accuracy(pool, name) == pytest.approx(accuracy(table))
    assert set(pool.responses.to_pylist()) == {text for row in table.itertuples() for text in row.chosen + row.rejected}


def test_results_without_a_count_have_their_one_right_response_first(tmp_path):
    table = bench()
    table = table[table.num_correct == 1].reset_index(drop=True)
    columns = ["num_correct", "num_incorrect", "total_completions"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(results(table).drop(columns=columns).to_dict(orient="list")))
    assert best_of_k_accuracy(read_samples(path, {}, Choice()), "scores") == pytest.approx(accuracy(table))


def test_files_without_the_scores_of_a_reward_model_say_so(tmp_path):
    for name, table in (("gens", generations().drop(columns=["pythia-44m", "pythia_1.3b"])), ("rb2", bench())):
        table = table.drop(columns="scores", errors="ignore")
        with pytest.raises(UserError, match="must have a column of a reward model's scores"):
            read_samples(write(table, tmp_path / f"{name}.parquet"), {}, Choice())
