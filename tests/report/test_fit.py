"""A foreign curve: its law, peak and forecast, logged as a run that can be fitted again."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from mlproject.__main__ import main
from mlproject.report.fit import analyse
from mlproject.report.logged_curve import logged_curve
from mlproject.tracking.runs import artifact

EXAMPLES = Path(__file__).parents[2] / "examples"
D = np.linspace(0, 3, 25)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    return tmp_path


def client(store):
    return MlflowClient(f"sqlite:///{store}/mlflow.db")


def fits(store):
    found = client(store)
    studies = found.get_experiment_by_name("overoptimization/studies").experiment_id
    return found.search_runs([studies], "tags.`mlproject.kind` = 'fit'")


def test_a_planted_law_is_found_with_its_peak():
    gold = D * (1.2 - 0.3 * D) + np.random.default_rng(0).normal(0, 0.01, 25) * (D > 0)
    table = pd.DataFrame({"kl": D**2, "gold": gold, "gold_se": 0.01})
    found = analyse(logged_curve(table, {}, "mine", "best-of-n"), "best-of-n")
    assert found.law.alpha == pytest.approx(1.2, abs=0.03)
    assert found.law.peak() == pytest.approx((4.0, 1.2), rel=0.05)
    assert found.interval.peak_kl[0] < 4.0 < found.interval.peak_kl[1]
    assert found.prediction.p_past_peak > 0.99
    assert found.prediction.peak_kl == pytest.approx(4.0, rel=0.1)


@pytest.mark.parametrize(("name", "method"), [("ppo_25k", "ppo"), ("best_of_n_3k", "best-of-n")])
def test_the_examples_are_fitted_logged_and_found_again(store, capsys, name, method):
    arguments = ["fit", "--curve", str(EXAMPLES / f"{name}.csv"), "--method", method]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "peak of the law" in said
    assert "stop at" in said
    [run] = fits(store)
    assert run.info.status == "FINISHED"
    table = pd.read_csv(EXAMPLES / f"{name}.csv")
    logged = client(store).get_metric_history(run.info.run_id, "curve/gold")
    assert len(logged) == len(table)
    result = json.loads(artifact(client(store), run.info.run_id, "fit.json").read_text())
    assert result["law/alpha"] == pytest.approx(run.data.metrics["law/alpha"])
    assert {item.path for item in client(store).list_artifacts(run.info.run_id)} == {
        "fit.json", "fit.png", "points.csv", "curve.npz",
    }  # fmt: skip
    assert main(arguments) == 0
    assert len(fits(store)) == 1, "the same curve again is the same run"


def test_any_run_of_the_store_can_be_fitted_by_the_names_of_its_metrics(store, capsys):
    found = client(store)
    run = found.create_run(found.create_experiment("theirs"))
    for step, d in enumerate(D):
        found.log_metric(run.info.run_id, "objective/kl", d**2, step=step * 5)
        found.log_metric(run.info.run_id, "eval/gold", 7 + d * (1.2 - 0.3 * d), step=step * 5)
    found.set_terminated(run.info.run_id)
    columns = ["--columns", "kl=objective/kl,gold=eval/gold"]
    assert main(["fit", "--curve", run.info.run_id, "--method", "best-of-n", *columns]) == 0
    [fitted] = fits(store)
    assert fitted.data.metrics["law/peak_kl"] == pytest.approx(4.0, rel=1e-3)
    assert fitted.data.tags["gold_se"] == "guessed"
    assert "curve/proxy" not in fitted.data.metrics
    assert max(m.step for m in found.get_metric_history(fitted.info.run_id, "curve/kl")) == 120
    capsys.readouterr()
    assert main(["fit", "--curve", run.info.run_id]) == 2
    assert "has no metric curve/kl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--curve", "gone.csv"], "no such file"),
        (["--curve", "0" * 32], "neither a file nor a run"),
        (["--curve", str(EXAMPLES / "ppo_25k.csv"), "--method", "prayer"], "method=prayer"),
        (["--curve", str(EXAMPLES / "ppo_25k.csv"), "--gold_sd", "wide"], "gold_sd=wide"),
        (["--curve", str(EXAMPLES / "ppo_25k.csv"), "--columns", "kl"], "name=column"),
        ([], "curve"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_leaves_nothing(store, capsys, arguments, word):
    assert main(["fit", *arguments]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert word in told[0]
    if (store / "mlflow.db").exists():
        assert fits(store) == []
