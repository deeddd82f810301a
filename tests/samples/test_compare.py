"""The entry point `compare` on the example of the documentation, from the file to the recommendation."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from mlproject import UserError, open_study, plot
from mlproject.__main__ import main
from mlproject.execution.executors import InProcessExecutor
from mlproject.tracking.run_data import artifact, curve_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "scored_samples.parquet"
RMS = ["rm-1k", "rm-3k", "rm-25k", "rm-100k"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory, empty_database):
    """A folder in which the example was compared twice, and what was printed each time."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copy(empty_database, folder / "mlflow.db")
    arguments = ["compare", "--samples", str(EXAMPLE), "--preset", "smoke", "--bon_points", "8"]
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", "")
        patch.setattr("mlproject.execution.new_executor.LocalExecutor", lambda workers: InProcessExecutor())
        for _ in range(2):
            lines: list[str] = []
            patch.setattr("mlproject.execution.invocation.Invocation.say", lambda self, line, to=lines: to.append(line))
            assert main(arguments) == 0
            printed.append(lines)
    return MlflowClient(f"sqlite:///{folder}/mlflow.db"), printed


def runs(client, experiment, kind):
    [found] = client.search_experiments(filter_string=f"name = '{experiment}'")
    return client.search_runs([found.experiment_id], f"tags.`mlproject.kind` = '{kind}'")


def expected_gold(rows: pd.DataFrame, rm: str, n: int) -> float:
    """Mean of the best of n of a prompt's responses, over all subsets: by ranks, tied ones sharing."""
    ranked = rows.groupby(rm).judge_score.agg(["mean", "size"]).sort_index()
    count, below, total = len(rows), 0, 0.0
    for mean, size in ranked.itertuples(index=False):
        weight = math.comb(below + int(size), n) - math.comb(below, n)
        total += mean * weight / math.comb(count, n)
        below += int(size)
    return total


def test_each_reward_model_is_a_policy_run_with_the_gold_of_all_subsets(compared):
    client, _ = compared
    table = pd.read_parquet(EXAMPLE)
    sd = table.judge_score.std(ddof=0)
    by_rm = {run.data.params["rm_size"]: run for run in runs(client, "overoptimization", "policy-run")}
    assert sorted(by_rm) == sorted(RMS)
    for rm, run in by_rm.items():
        curve = curve_of(client, run.info.run_id)
        logged = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "curve/gold")}
        assert list(logged) == curve.steps_S.tolist() and max(logged) == 48 and len(logged) == 8
        for index in (0, 3, 7):
            step = int(curve.steps_S[index])
            gains = [
                (expected_gold(rows, rm, step) - rows.judge_score.mean()) / sd
                for _, rows in table.groupby("prompt", sort=False)
            ]
            assert curve.gold_SP[index] == pytest.approx(np.array(gains), abs=1e-9)
            assert logged[step] == pytest.approx(np.mean(gains), abs=1e-9)
        assert 0 < run.data.metrics["best-of-n/kl_true"] < run.data.metrics["curve/kl"]
        assert run.data.metrics["signs/length"] > 1
        assert 0.6 < run.data.metrics["rm/val_accuracy"] < 0.9


def test_sample_tables_show_the_best_of_the_first_n(compared):
    client, _ = compared
    run = next(r for r in runs(client, "overoptimization", "policy-run") if r.data.params["rm_size"] == "rm-25k")
    shown = json.loads(artifact(client, run.info.run_id, "samples.json").read_text())
    rows = pd.DataFrame(shown["data"], columns=shown["columns"])
    table = pd.read_parquet(EXAMPLE)
    best = table.loc[table.groupby("prompt")["rm-25k"].idxmax()].set_index("prompt").response
    end = rows[rows.stage == "end"].set_index("prompt").response
    assert len(end) == 24 and (end == best[end.index]).all()


def test_the_recommendation_names_reward_model_n_and_doubt(compared):
    client, (lines, _) = compared
    study = runs(client, "overoptimization/studies", "study")[0]
    record = json.loads(artifact(client, study.info.run_id, "recommendation.json").read_text())
    assert record["choice"]["rm"] in ("rm-25k", "rm-100k") and len(record["pairs"]) == 6
    told = {(pair["better"], pair["worse"]) for pair in record["pairs"] if pair["is_told"]}
    assert {("rm-100k", "rm-1k"), ("rm-25k", "rm-1k")} <= told
    near = next(pair for pair in record["pairs"] if {pair["better"], pair["worse"]} == {"rm-25k", "rm-100k"})
    assert (
        not near["is_told"]
        and (near["prompts_needed"] or 10**6) > 60
        and near["smallest_told"] > abs(near["difference"])
    )
    assert [each["rm"] for each in record["rms_compared"]][-1] == "rm-1k"
    text = "\n".join(lines)
    assert "reward models: rm-1k, rm-3k, rm-25k, rm-100k; 60 prompts with 48 responses each" in text
    assert f"Use the {record['choice']['rm']} reward model with best-of-n" in text
    assert "cannot be told apart on 60 prompts" in text and "one would need" in text
    assert "seeds" not in text


def test_the_report_holds_the_comparison_and_nothing_of_a_trained_study(compared):
    client, _ = compared
    study = runs(client, "overoptimization/studies", "study")[0]
    names = {item.path for item in client.list_artifacts(study.info.run_id)}
    assert {"report.html", "comparison.png", "curves-best-of-n.png"} <= names
    assert not {"coefficients.png", "peaks.png"} & names
    page = artifact(client, study.info.run_id, "report.html").read_text()
    assert "Comparison of reward models" in page and "Prompts to tell it" in page and "scored_samples.parquet" in page
    assert "0 parameters" not in page and "smallest RM" not in page


def test_a_notebook_reads_what_the_command_wrote(compared, tmp_path):
    client, (lines, _) = compared
    uri = client.tracking_uri
    study = open_study(tracking_uri=uri)
    study_run = runs(client, "overoptimization/studies", "study")[0].info.run_id
    assert study.run_id == study_run and "4 curves by best-of-n against rm-1k" in repr(study)
    curves = study.curves()
    assert list(curves.columns[:6]) == ["method", "rm", "rm_params", "seed", "step", "kl"] and len(curves) == 32
    for run in runs(client, "overoptimization", "policy-run"):
        rows = curves[curves.rm == run.data.params["rm_size"]]
        assert (rows.run_id == run.info.run_id).all()
        logged = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "curve/gold")}
        assert dict(zip(rows.step, rows.gold, strict=True)) == pytest.approx(logged)
    laws = json.loads(artifact(client, runs(client, "overoptimization/studies", "law")[0], "laws.json").read_text())
    told = study.laws().set_index("rm")
    for group in laws["groups"]:
        row = told.loc[group["rm_size"]]
        assert (row.alpha, row.peak_kl_low, row.peak_kl_high) == (group["alpha"], *group["peak_kl_ci"])
    record = json.loads(artifact(client, study_run, "recommendation.json").read_text())
    best = study.peaks().iloc[0]
    assert best.gold == study.peaks().gold.max()
    chosen = study.peaks().set_index("rm").loc[record["choice"]["rm"]]
    for column, name in (("gold", "gold"), ("kl", "highest_gold_kl"), ("stop_kl", "stop_kl"), ("drop", "drop")):
        assert chosen[column] == pytest.approx(record["choice"][name])
    assert str(study.recommendation()).splitlines()[0] in lines
    plot(study).save(tmp_path / "study.png")
    assert (tmp_path / "study.png").read_bytes()[:4] == plot(study)._repr_png_()[:4] == b"\x89PNG"
    for wanted, message in (
        ({"run": "0" * 32}, "must be the run id of a finished study"),
        ({"tracking_uri": f"sqlite:///{tmp_path}/nowhere.db"}, "there is none"),
    ):
        with pytest.raises(UserError, match=message):
            open_study(**{"tracking_uri": uri, **wanted})
    with pytest.raises(UserError, match="must be given a study"):
        plot([1, 2])


def test_the_second_time_everything_is_reused(compared):
    client, (_, again) = compared
    assert "steps: 0 executed, 6 reused" in again
    assert len(runs(client, "overoptimization", "policy-run")) == 4


def test_a_mistake_in_a_table_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    (tmp_path / "t.csv").write_text("prompt,response,score\na,x,1\na,y,2\nb,x,1\nb,z,3\n")
    for options, message in (
        (["--samples", "nowhere.parquet"], "samples=nowhere.parquet: no such file"),
        (["--samples", "t.csv"], "samples=t.csv: must have a column of the gold score"),
        (["--samples", "t.csv", "--columns", "golden=score"], "columns=golden=score: golden must be one of prompt"),
        (["--samples", "t.csv", "--min_samples", "few"], "min_samples=few: must be a whole number"),
        (["--samples", "t.csv", "--duplicates", "yes"], "duplicates=yes: must be keep or drop"),
        (["--samples", str(EXAMPLE), "--n_max", "49"], "n_max=49: must be 2 to 48"),
    ):
        assert main(["compare", *options]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
