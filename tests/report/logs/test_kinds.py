"""Every kind of log gives back the law that was planted in it, from the steps that have both KL and gold."""

import bz2
import csv
import gzip
import json
import shutil
import sys

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from tests.report.logs.planted import COLUMNS, GOLD, GOLD_SD, KL, PROXY, STEPS, rows

from mlproject.errors import UserError
from mlproject.report.fit import FitRequest

FRAME = pd.DataFrame({"step": STEPS, "objective/kl": KL, "eval/gold": [GOLD.get(step) for step in STEPS]})
MIXED = pd.DataFrame(list(rows()))


def as_csv(path, frame, **options):
    frame.to_csv(path, index=False, **options)
    return path


def as_json(path, content):
    path.write_text(json.dumps(content))
    return path


def semicolons(folder):
    return as_csv(folder / "run.csv", FRAME, sep=";", decimal=",")


def quoted_decimal_commas(folder):
    text = FRAME.map(lambda cell: "" if pd.isna(cell) else f"{cell:.4f}".replace(".", ","))
    return as_csv(folder / "run.csv", text, quoting=csv.QUOTE_ALL)


def tabs_in_utf16(folder):
    path = folder / "run.txt"
    path.write_text(FRAME.to_csv(index=False, sep="\t"), encoding="utf-16")
    return path


def packed(folder):
    path = folder / "run.csv.gz"
    path.write_bytes(gzip.compress(FRAME.to_csv(index=False).encode("utf-8-sig")))
    return path


def packed_lines(folder):
    path = folder / "run.jsonl.bz2"
    path.write_bytes(bz2.compress("\n".join(map(json.dumps, rows())).encode()))
    return path


def parquet_with_the_step_as_index(folder):
    FRAME.set_index("step").to_parquet(folder / "run.parquet")
    return folder / "run.parquet"


def nested_lines(folder):
    """Objects within objects, other steps' rows between, and a last line that a killed run left half written."""
    lines = []
    for row in rows():
        kl, gold = row.get("objective/kl"), row.get("eval/gold")
        inner = {"objective": {"kl": kl}} if kl is not None else {"eval": {"gold": gold}}
        lines += [json.dumps({"step": row["step"], **inner, "histogram": [1, 2]}), json.dumps({"event": "saved"})]
    path = folder / "metrics.jsonl"
    path.write_text("\n".join(lines) + '\n{"step": 310, "objec')
    return path


def trainer_state(folder):
    return as_json(folder / "trainer_state.json", {"global_step": 300, "log_history": list(rows()), "is_hyper": False})


def output_folder(folder):
    """Of its checkpoints the newest counts: 300, not 90, which would come last in order of names."""
    for step in (90, 300):
        (folder / f"checkpoint-{step}").mkdir()
        history = [row for row in rows() if row["step"] <= step]
        as_json(folder / f"checkpoint-{step}" / "trainer_state.json", {"log_history": history})
    return folder


def json_rows(folder):
    return as_json(folder / "run.json", {"version": 1, "data": list(rows())})


def json_columns(folder):
    path = folder / "run.json"
    FRAME.to_json(path)  # pandas' own layout: an object of objects
    return path


def json_lists(folder):
    return as_json(folder / "run.json", {name: [None if pd.isna(x) else x for x in FRAME[name]] for name in FRAME})


def json_split(folder):
    path = folder / "run.json"
    FRAME.to_json(path, orient="split", index=False)
    return path


def json_series(folder):
    kl = [{"step": step, "value": value} for step, value in zip(STEPS, KL, strict=True)]
    gold = [{"step": step, "value": value} for step, value in GOLD.items()]
    return as_json(folder / "run.json", {"objective/kl": kl, "eval/gold": gold})


def json_lines_called_json(folder):
    path = folder / "run.json"
    path.write_text("\n".join(map(json.dumps, rows())))
    return path


def wandb_history(folder):
    """Each call of the logger has a `_step` of its own; the trainer's step is a metric."""
    frame = MIXED.rename(columns={"step": "train/global_step"})
    return as_csv(folder / "history.csv", frame.assign(_step=range(len(frame)), _runtime=1.0, _timestamp=1.7e9))


def wandb_charts(folder):
    """One chart a metric, of a group whose name has commas; a second run in the chart of KL."""
    group = "method: ppo, seed: 0 - 3"
    for name, values in (("objective/kl", dict(zip(STEPS, KL, strict=True))), ("eval/gold", GOLD)):
        frame = pd.DataFrame({"train/global_step": STEPS})
        for ending, shift in (("", 0.0), ("__MIN", -1.0), ("__MAX", 1.0)):
            frame[f"{group} - {name}{ending}"] = [values[s] + shift if s in values else "" for s in STEPS]
        as_csv(folder / f"{name.replace('/', '_')}.csv", frame, quoting=csv.QUOTE_ALL)
    return f"{folder}/objective_kl.csv,{folder}/eval_gold.csv"


def tensorboard_downloads(folder):
    for tag, values in (("objective_kl", dict(zip(STEPS, KL, strict=True))), ("eval_gold", GOLD)):
        frame = pd.DataFrame({"Wall time": 1.7e9, "Step": values.keys(), "Value": values.values()})
        as_csv(folder / f"run-ppo_1-tag-{tag}.csv", frame)
    return f"{folder}/run-ppo_1-tag-objective_kl.csv,{folder}/run-ppo_1-tag-eval_gold.csv"


def tensorboard_json(folder):
    for tag, values in (("objective_kl", dict(zip(STEPS, KL, strict=True))), ("eval_gold", GOLD)):
        as_json(folder / f"{tag}.json", [[1.7e9, step, value] for step, value in values.items()])
    return f"{folder}/objective_kl.json,{folder}/eval_gold.json"


KINDS = {
    semicolons: "semicolons between fields and decimal commas",
    quoted_decimal_commas: "a table",
    tabs_in_utf16: "tabs between fields",
    packed: "a table",
    packed_lines: "a JSON Lines log",
    parquet_with_the_step_as_index: "a table",
    nested_lines: "cut short",
    trainer_state: "a trainer_state.json",
    output_folder: "checkpoint-300/trainer_state.json",
    json_rows: "a JSON table",
    json_columns: "a table",
    json_lists: "a table",
    json_split: "a table",
    json_series: "one series a metric",
    json_lines_called_json: "a JSON Lines log",
    wandb_history: "a W&B history export",
    wandb_charts: "a W&B chart export",
    tensorboard_downloads: "a TensorBoard scalar",
    tensorboard_json: "a TensorBoard scalar",
}


@pytest.mark.parametrize("write", KINDS, ids=lambda write: write.__name__)
def test_a_planted_law_comes_back_and_what_was_recognised_is_said(tmp_path, read, has_planted_law, write):
    logged = read(write(tmp_path))
    if write is quoted_decimal_commas:
        assert len(logged.points) == 11  # rounded to four digits
    else:
        assert has_planted_law(logged)
    assert any(KINDS[write] in line for line in (logged.read_as, *logged.notes))
    assert "11 steps have both: " in " ".join(logged.notes)
    assert [point.step for point in logged.points] == list(GOLD)


def test_files_may_be_given_with_what_they_hold(tmp_path, read, has_planted_law):
    kl, gold = tensorboard_downloads(tmp_path).split(",")
    assert has_planted_law(read(f"kl={kl},gold={gold}", ""))
    with pytest.raises(UserError, match=r"holds one scalar.*curve=kl=FILE,gold=FILE"):
        read(kl, "")


def events(folder, style):
    from torch.utils.tensorboard import SummaryWriter

    kl = SummaryWriter(folder / "train" if style == "folders" else folder)
    gold = SummaryWriter(folder / "test") if style == "folders" else kl
    new_style = style == "tensors"
    for step, value in zip(STEPS, KL, strict=True):
        kl.add_scalar("kl", value, step, new_style=new_style)
        if step in GOLD:
            gold.add_scalar("gold", GOLD[step], step, new_style=new_style)
    kl.add_text("config", "ppo", 0)
    kl.close()
    gold.close()
    return folder


@pytest.mark.parametrize("style", ["values", "tensors", "folders", "file"])
def test_the_scalars_of_tensorboard_events_are_read(tmp_path, read, has_planted_law, style):
    folder = events(tmp_path, style)
    columns = "kl=train/kl,gold=test/gold" if style == "folders" else "kl=kl,gold=gold"
    logged = read(next(folder.iterdir()) if style == "file" else folder, columns)
    assert has_planted_law(logged) and "TensorBoard events" in logged.read_as


def test_several_runs_of_events_and_a_missing_package_are_refused(tmp_path, read, monkeypatch):
    for run in ("seed_0", "seed_1"):
        events(tmp_path / run, "values")
    with pytest.raises(UserError, match=r"holds 2 runs \(seed_0, seed_1\), all with gold"):
        read(tmp_path, "")
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_file_loader", None)
    with pytest.raises(UserError, match=r"need the package tensorboard. Run `pip install 'mlproject\[tensorboard\]'"):
        read(tmp_path / "seed_0", "")


@pytest.fixture
def run_of(tmp_path, empty_database):
    """Log series of (step, value) by metric as a run of a store of its own; gives client and run id."""
    shutil.copy(empty_database, tmp_path / "runs.db")
    client = MlflowClient(f"sqlite:///{tmp_path}/runs.db")

    def log(**series):
        run_id = client.create_run(client.create_experiment("theirs")).info.run_id
        for name, pairs in series.items():
            metric = name.replace("__", "/")
            client.log_batch(run_id, [Metric(metric, value, time, step) for time, (step, value) in enumerate(pairs)])
        return client, run_id

    return log


def test_an_mlflow_run_is_joined_on_step_and_its_values_must_be_finite_where_they_are_used(run_of, has_planted_law):
    kl = list(zip(STEPS, KL, strict=True))
    resumed = [(60, 99.0), *kl[:15], (70, float("inf")), (80, float("nan")), *kl[15:], *kl[6:9]]
    client, run_id = run_of(objective__kl=resumed, eval__gold=list(GOLD.items()), objective__scores=list(PROXY.items()))
    request = FitRequest(f"runs:/{run_id}", f"{COLUMNS},proxy=objective/scores", "best-of-n", GOLD_SD)
    assert not request.is_file
    logged = request.load(client)
    assert has_planted_law(logged)
    notes = " ".join(logged.notes)
    assert "objective/kl is not a number at step 80: left out" in notes
    assert "3 steps from 60 to 80 were logged more than once" in notes
    assert "objective/scores was not logged at 11 of these steps" in notes
    assert logged.table.proxy[1] == pytest.approx(1.5 * 29)  # of step 30, between those of 21 and 31
    client.log_metric(run_id, "objective/kl", float("inf"), step=60, timestamp=10**6)
    with pytest.raises(UserError, match=r"step 60, column objective/kl: .* must be a finite number") as error:
        request.load(client)
    assert "\n" not in str(error.value)
