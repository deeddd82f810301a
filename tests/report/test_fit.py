"""A curve that was logged elsewhere: its law, peak and forecast, logged as a run that is reused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from mlproject.__main__ import main
from mlproject.errors import UserError
from mlproject.laws import FORMS, Forecast
from mlproject.report.fit import MEANS_ONLY, CurveAnalysis, FitRequest, analyse
from mlproject.report.logged_curve import LoggedCurve, logged_curve
from mlproject.report.logs.join import join
from mlproject.report.logs.log import Log
from mlproject.tracking.run_data import artifact

EXAMPLES = Path(__file__).parents[2] / "examples"
D = np.linspace(0, 3, 25)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    return tmp_path


@pytest.fixture
def database(store, empty_database):
    shutil.copy(empty_database, store / "mlflow.db")
    return store


def client(store):
    return MlflowClient(f"sqlite:///{store}/mlflow.db")


def fits(store):
    experiment = client(store).get_experiment_by_name("overoptimization/studies")
    return client(store).search_runs([experiment.experiment_id], "tags.`mlproject.kind` = 'fit'")


def read(table: pd.DataFrame) -> LoggedCurve:
    return logged_curve(join([Log("mine", "a table", table)], {}, "mine"), "mine", "best-of-n")


@pytest.fixture(scope="module")
def analysis() -> CurveAnalysis:
    """Of a planted best-of-n law with its peak at 4 nats."""
    gold = D * (1.2 - 0.3 * D) + np.random.default_rng(0).normal(0, 0.01, 25) * (D > 0)
    table = pd.DataFrame({"kl": D**2, "gold": gold, "gold_se": 0.01})
    return analyse(read(table), "best-of-n")


def test_a_planted_law_is_recovered_with_its_peak(analysis):
    assert analysis.law.alpha == pytest.approx(1.2, abs=0.03)
    assert analysis.law.peak() == pytest.approx((4.0, 1.2), rel=0.05)
    assert analysis.interval.peak_kl[0] < 4.0 < analysis.interval.peak_kl[1]
    assert analysis.prediction.p_past_peak > 0.99
    assert analysis.prediction.peak_kl == pytest.approx(4.0, rel=0.1)


def test_the_printed_lines_give_law_peak_and_forecast(analysis):
    measured, law, peak, forecast = analysis.lines()
    assert measured.startswith("  measured: highest gold 1.19 [") and measured.endswith("peaked")
    assert law.startswith(f"  law R(d) = d (a - b d): a {analysis.law.alpha:.3g} [")
    quoted = analysis.peak
    assert quoted.kl.low < 4.0 < quoted.kl.high and quoted.gold.low < 1.2 < quoted.gold.high
    assert f"gold {quoted.gold.value:.3g} [" in peak and f"at {quoted.kl.value:.3g} nats [" in peak
    assert "P(past peak) = 1.00" in forecast and "from a weak prior and 25 points" in forecast
    assert f"stop at {analysis.prediction.loses_beyond_kl:.3g} nats (n = " in forecast
    assert forecast.endswith(MEANS_ONLY)


def test_a_curve_that_only_bends_upwards_has_no_peak_of_the_law():
    table = pd.DataFrame({"kl": D**2, "gold": D + 0.1 * D**2, "gold_se": 0.01})
    measured, _, peak, _ = analyse(read(table), "best-of-n").lines()
    assert measured.endswith("peak not reached")
    assert peak == "  peak of the law: withheld, since the law does not bend downwards on these points"


def test_a_curve_that_only_falls_gets_no_forecast():
    table = pd.DataFrame({"kl": D**2, "gold": -0.2 * D, "gold_se": 0.01})
    measured, *_, forecast = analyse(read(table), "best-of-n").lines()
    assert measured.endswith("no gain") and forecast.startswith("  forecast: withheld, since gold rises nowhere")


def test_an_example_is_fitted_and_logged_and_the_same_curve_again_is_the_same_run(database, capsys):
    arguments = ["fit", "--curve", str(EXAMPLES / "ppo_25k.csv"), "--method", "ppo"]
    assert main(arguments) == 0
    assert "stop at" in capsys.readouterr().out
    [run] = fits(database)
    assert run.info.status == "FINISHED"
    table = pd.read_csv(EXAMPLES / "ppo_25k.csv")
    assert len(client(database).get_metric_history(run.info.run_id, "curve/gold")) == len(table)
    result = json.loads(artifact(client(database), run.info.run_id, "fit.json").read_text())
    assert result["law/alpha"] == pytest.approx(run.data.metrics["law/alpha"])
    assert {item.path for item in client(database).list_artifacts(run.info.run_id)} == {
        "fit.json", "fit.png", "points.csv", "curve.npz",
    }  # fmt: skip
    assert main(arguments) == 0
    assert len(fits(database)) == 1


def test_any_run_of_the_store_can_be_fitted_by_the_names_of_its_metrics(database, capsys):
    tracking = client(database)
    run = tracking.create_run(tracking.create_experiment("theirs"))
    for step, d in enumerate(D):
        tracking.log_metric(run.info.run_id, "objective/kl", d**2, step=step * 5)
        tracking.log_metric(run.info.run_id, "eval/gold", 7 + d * (1.2 - 0.3 * d), step=step * 5)
    tracking.set_terminated(run.info.run_id)
    columns = ["--columns", "kl=objective/kl,gold=eval/gold"]
    assert main(["fit", "--curve", run.info.run_id, "--method", "best-of-n", *columns]) == 0
    [fitted] = fits(database)
    assert fitted.data.metrics["law/peak_kl"] == pytest.approx(4.0, rel=1e-3)
    assert fitted.data.tags["gold_se"] == "guessed"
    assert "curve/proxy" not in fitted.data.metrics
    assert max(m.step for m in tracking.get_metric_history(fitted.info.run_id, "curve/kl")) == 120
    for columns, message in (
        ("kl=KL", "has no column KL for kl.*objective/kl"),
        ("gold=x", "has no column x for gold"),
    ):
        with pytest.raises(UserError, match=message):
            FitRequest(run.info.run_id, columns, "ppo").load(tracking)
    with pytest.raises(UserError, match="neither a file nor a run"):
        FitRequest("0" * 32, "", "ppo").load(tracking)
    assert not FitRequest(run.info.run_id, "", "ppo").is_file


def test_forms_that_do_not_hold_so_near_to_the_start_are_not_compared():
    near = pd.DataFrame({"kl": D**2 / 200, "gold": D})
    assert "rl" not in analyse(read(near), "best-of-n").rmse_by_form
    far = pd.DataFrame({"kl": D**2, "gold": D})
    assert set(analyse(read(far), "best-of-n").rmse_by_form) == set(FORMS)


def test_fit_json_is_json_also_of_a_curve_without_a_peak_and_keeps_what_was_noticed(database, capsys):
    pd.DataFrame({"kl": D**2, "gold": 7 + D + 0.1 * D**2}).to_csv("mine.csv", index=False)
    assert main(["fit", "--curve", "mine.csv", "--method", "best-of-n"]) == 0
    said = capsys.readouterr().out
    [run] = fits(database)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = artifact(client(database), run.info.run_id, "fit.json").read_text()
    result = json.loads(text, parse_constant=refuse)
    assert result["law/peak_kl"] is None and result["peak_kl_interval"] == [None, None]
    assert result["law/alpha"] == pytest.approx(1.0, rel=1e-3)
    assert "gold starts at 7" in result["notes"][0] and result["read_as"].startswith("read as a table")
    assert all(line in said for line in (result["read_as"], *result["notes"]))


def test_a_forecast_of_a_finished_curve_is_that_of_its_last_point(analysis):
    gold = D * (1.2 - 0.3 * D)
    logged = read(pd.DataFrame({"kl": D**2, "gold": gold, "gold_se": 0.01}))
    forecast = Forecast("best-of-n")
    assert analyse(logged, "best-of-n").prediction == [forecast.update(point) for point in logged.points][-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--curve", "gone.csv"], "no such file"),
        (["--curve", str(EXAMPLES / "ppo_25k.csv"), "--method", "a prayer"], "method=a prayer"),
        (["--curve", str(EXAMPLES / "ppo_25k.csv"), "--method", "PPO"], "method=PPO: must be written ppo"),
        (["--curve", str(EXAMPLES / "ppo_25k.csv"), "--method", "my-best-of-n"], "method=my-best-of-n"),
        (["--curve", str(EXAMPLES / "ppo_25k.csv"), "--gold_sd", "wide"], "gold_sd=wide"),
        (["--curve", str(EXAMPLES / "ppo_25k.csv"), "--columns", "kl"], "name=column"),
        ([], "curve"),
    ],
)
def test_an_invalid_file_or_option_is_refused_in_one_line_before_a_store_is_opened(store, capsys, arguments, message):
    assert main(["fit", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert list(store.iterdir()) == []


def test_raw_gold_gets_no_forecast_until_its_unit_is_given_and_its_start_is_said():
    raw = pd.DataFrame({"kl": D**2, "gold": 12.3 + 4.1 * D * (1.2 - 0.3 * D), "gold_se": 0.05})
    logged = read(raw)
    assert logged.unit_is_unknown and "gold less 12.3, its value at the start, in units of 1" in logged.read_as
    assert analyse(logged, "best-of-n").lines()[-1].endswith("gold in standard deviations; give gold_sd=SD")
    joined = join([Log("mine", "a table", raw)], {}, "mine")
    scaled = logged_curve(joined, "mine", "best-of-n", gold_sd=4.1)
    assert not scaled.unit_is_unknown and "P(past peak) = " in analyse(scaled, "best-of-n").lines()[-1]


def test_gold_that_hardly_moves_is_asked_for_its_unit():
    [note] = read(pd.DataFrame({"kl": D**2, "gold": 0.01 * D, "gold_se": 0.0001})).notes
    assert note.startswith("gold moves by 0.03 in all, which is little if it is in standard deviations; if it is in")


def test_errors_that_were_estimated_from_the_scatter_test_no_law():
    rng, d = np.random.default_rng(3), np.linspace(0, 3, 60)
    gold = d * (1.2 - 0.3 * d) + rng.normal(0, 0.03, 60) * (d > 0)
    guessed = read(pd.DataFrame({"kl": d**2, "gold": gold}))
    peak = analyse(guessed, "best-of-n").peak
    assert guessed.se_is_guessed and peak.fits and np.isnan(peak.p_fit) and peak.kl.low < 4 < peak.kl.high
    given = read(guessed.table)
    assert not given.se_is_guessed and np.isfinite(analyse(given, "best-of-n").peak.p_fit)


def test_a_column_that_carries_the_name_is_suggested():
    with pytest.raises(UserError, match=r"has no column kl for kl \(did you mean kl_bits\?\)"):
        read(pd.DataFrame({"kl_bits": D**2, "gold": D}))
