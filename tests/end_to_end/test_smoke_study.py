"""`mlflow run . --env-manager local -P preset=smoke`, read back through the MLflow client."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from tests.support.commands import run_here

from mlproject.__main__ import main
from mlproject.config.schema import option_names
from mlproject.curve import Curve
from mlproject.experiments.results import RESOLUTION, load_result
from mlproject.laws import Prior
from mlproject.models.sizes import SIZES
from mlproject.names import artifacts, metrics, params, registry, statistics, tags
from mlproject.names import runs as kinds
from mlproject.optimization import METHODS

ROOT = Path(__file__).parents[2]


def environment(store: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    temporary(store).mkdir(exist_ok=True)
    uri = f"sqlite:///{store}/mlflow.db"
    return {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": uri, "TMPDIR": str(temporary(store))}


def temporary(store: Path) -> Path:
    return store.parent / f"{store.name}-temporary"


def run_study(store: Path, *parameters: str) -> subprocess.CompletedProcess:
    command = ["mlflow", "run", str(ROOT), "--env-manager", "local", "-P", "preset=smoke"]
    for parameter in parameters:
        command += ["-P", parameter]
    return subprocess.run(command, cwd=store, env=environment(store), capture_output=True, text=True)


def run_module(store: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mlproject", *arguments]
    return subprocess.run(command, cwd=store, env=environment(store), capture_output=True, text=True)


@pytest.fixture
def refused(store, monkeypatch, capfd):
    """Gives a command that is refused in this process (a new one takes seconds); hands back what it said."""

    def run(*arguments: str) -> str:
        monkeypatch.chdir(store)
        for name, value in environment(store).items():
            monkeypatch.setenv(name, value)
        assert main(arguments) == 2
        said = capfd.readouterr().err.strip()
        assert len(said.splitlines()) == 1, said
        return said

    return run


def start(store: Path, *arguments: str) -> subprocess.Popen:
    """A study in a process group of its own, as a shell would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "mlproject", *arguments],
        cwd=store,
        env=environment(store),
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_runs(client, query: str) -> list:
    for _ in range(300):
        if found := runs(client, "overoptimization", query):
            return found
        time.sleep(0.2)
    raise TimeoutError(query)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def study(store) -> subprocess.CompletedProcess:
    answer = run_study(store)
    assert answer.returncode == 0, answer.stderr
    return answer


@pytest.fixture(scope="module")
def client(store, study) -> MlflowClient:
    return MlflowClient(f"sqlite:///{store}/mlflow.db")


def runs(client, experiment, query=""):
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id], query)


def folder(run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"))


def invocation(client):
    return runs(client, "Default")[0]


def members(client) -> list[dict]:
    return json.loads((folder(invocation(client)) / "steps.json").read_text())


def test_every_step_is_a_finished_run_of_its_kind(client):
    kinds = {}
    for row in members(client):
        run = client.get_run(row["run_id"])
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlproject.kind"] == row["kind"]
        assert "mlflow.parentRunId" not in run.data.tags
        kinds[row["kind"]] = kinds.get(row["kind"], 0) + 1
    assert kinds["proxy-rm"] == 2
    assert kinds["policy-run"] >= 4
    alone = ("initial-policy", "gold-rm", "comparisons", "law", "search", "audit", "promotion")
    assert all(kinds[kind] == 1 for kind in alone)
    assert kinds["pool"] == kinds["pool-samples"] == 2, "of the curve prompts, and of the audit prompts"


def test_the_invocation_run_is_a_study_with_report_and_figures(client):
    run = invocation(client)
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlproject.kind"] == "study"
    assert run.data.params["preset"] == "smoke"
    names = {path.name for path in folder(run).iterdir()}
    assert {"report.html", "steps.json", "headline.png"} <= names
    assert "<img" in (folder(run) / "report.html").read_text()


def test_nothing_is_tracked_that_the_page_on_tracking_does_not_list(client):
    diagnostics = {f"{prefix}/{spec.name}" for prefix in METHODS for spec in statistics.DIAGNOSTICS}
    checkpoints = {spec.name for spec in metrics.CHECKPOINT_METRICS}
    runs_of_all = client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000)
    for run in runs_of_all:
        unlisted = {name for name in run.data.metrics if not metrics.METRICS.covers(name)}
        assert unlisted <= diagnostics | checkpoints
        signs = {name.removeprefix("signs/") for name in run.data.metrics if name.startswith("signs/")}
        assert all(statistics.STATISTICS.covers(name) for name in signs)
        own = {name for name in run.data.tags if not name.startswith("mlflow.")}
        assert all(tags.TAGS.covers(name) for name in own)
        assert set(run.data.params) <= {*option_names(), *(spec.name for spec in params.PARAMS)}
        files = [file.path for file in client.list_artifacts(run.info.run_id)]
        assert all(artifacts.ARTIFACTS.covers(file) for file in files)
        assert run.data.tags["mlproject.kind"] in {spec.name for spec in kinds.KINDS}
        roles = json.loads(run.data.tags.get("mlproject.inputs", "{}"))
        assert all(kinds.ROLES.covers(role) or role.isdecimal() for role in roles)
    for version in client.search_model_versions():
        assert all(registry.VERSION_TAGS.covers(name) for name in version.tags)


def test_a_curve_reads_the_same_from_metrics_and_from_its_artifact(client):
    for run in runs(client, "overoptimization"):
        curve = Curve.load(folder(run) / "curve.npz")
        logged = {"kl": curve.kl_S, "gold": curve.gold_S, "proxy": curve.proxy_S, "human": curve.human_S}
        for name, values_S in logged.items():
            history = sorted(client.get_metric_history(run.info.run_id, f"curve/{name}"), key=lambda m: m.step)
            assert [m.step for m in history] == curve.steps_S.tolist()
            np.testing.assert_allclose([m.value for m in history], values_S, rtol=1e-6, atol=1e-6)
        assert np.isclose(run.data.metrics["peak/gold"], curve.peak().gold)


@pytest.mark.trains
def test_best_of_n_starts_at_the_initial_policy_and_its_proxy_score_never_falls(client):
    for run in runs(client, "overoptimization", "tags.`mlproject.method` = 'best-of-n'"):
        curve = Curve.load(folder(run) / "curve.npz")
        assert curve.kl_S[0] == 0
        assert abs(curve.gold_S[0]) < 1e-9
        assert (np.diff(curve.proxy_S) > 0).all()


@pytest.mark.trains
def test_ppo_moves_away_from_the_initial_policy_without_a_penalty_and_kl_is_metered(client):
    for run in runs(client, "overoptimization", "tags.`mlproject.method` = 'ppo' and params.kl_coef = '0.0'"):
        curve = Curve.load(folder(run) / "curve.npz")
        assert curve.kl_S[0] < 1e-6
        assert curve.kl_S[-1] > curve.kl_S[1] > 0
        assert curve.proxy_S[-1] > curve.proxy_S[0]


@pytest.mark.trains
def test_ppo_runs_log_a_forecast_and_what_its_gold_labels_cost(client):
    for run in runs(client, "overoptimization", "tags.`mlproject.method` = 'ppo'"):
        curve = Curve.load(folder(run) / "curve.npz")
        asked = client.get_metric_history(run.info.run_id, "forecast/gold_responses")
        assert [m.value for m in asked] == [48.0 * (i + 1) for i in range(len(curve))]
        for name in ("peak_kl", "peak_gold", "p_past_peak"):
            history = {m.step: m.value for m in client.get_metric_history(run.info.run_id, f"forecast/{name}")}
            usable_S = np.cumsum(curve.sqrt_kl_S > 0.3)
            assert set(history) == set(curve.steps_S[usable_S >= 3].tolist()), "from the third usable point on"
        assert all(0 <= m.value <= 1 for m in client.get_metric_history(run.info.run_id, "forecast/p_past_peak"))
    for run in runs(client, "overoptimization", "tags.`mlproject.method` = 'best-of-n'"):
        assert not [name for name in run.data.metrics if name.startswith("forecast/")]


@pytest.mark.trains
def test_sampled_estimates_and_the_true_kl_stand_beside_what_is_plotted(client):
    for run in runs(client, "overoptimization"):
        kl = run.data.metrics["curve/kl"]
        if run.data.params["method"] == "ppo":
            assert abs(run.data.metrics["ppo/kl_k1"] - kl) < 0.5 * kl
            assert abs(run.data.metrics["ppo/kl_disagreement"]) < 5
        else:
            assert 0.9 * kl < run.data.metrics["best-of-n/kl_true"] <= kl + 1e-9
            assert 6 < run.data.metrics["best-of-n/effective_samples"] < 8  # N = 64, n = 16


def test_every_policy_run_names_its_proxy_and_repeats_its_parameters(client):
    for run in runs(client, "overoptimization"):
        proxy = client.get_run(run.data.tags["mlproject.proxy_run_id"])
        for name in ("rm_size", "rm_params", "n_comparisons", "world_seed"):
            assert run.data.params[name] == proxy.data.params[name]


def test_sample_tables_have_the_same_columns_everywhere(client):
    tables = [json.loads((folder(run) / "samples.json").read_text()) for run in runs(client, "overoptimization")]
    assert len({tuple(table["columns"]) for table in tables}) == 1
    rows = pd.DataFrame(tables[0]["data"], columns=tables[0]["columns"])
    assert set(rows.stage) == {"start", "peak", "end"}


@pytest.mark.trains
def test_the_peak_checkpoint_is_found_by_its_gold_score(client):
    experiment = client.get_experiment_by_name("overoptimization").experiment_id
    order = [{"field_name": "metrics.gold", "ascending": False, "dataset_name": "curve"}]
    found = client.search_logged_models([experiment], order_by=order)
    gold = [next(m.value for m in model.metrics if m.key == "gold") for model in found]
    assert len(found) >= 4
    assert gold == sorted(gold, reverse=True)


def test_the_champion_is_the_proxy_with_the_highest_peak_and_scores_as_in_process(client, store):
    version = client.get_model_version_by_alias("reward-model", "champion")
    found = client.search_model_versions("name = 'reward-model'")
    peaks = {v.version: float(v.tags["peak_gold.best-of-n"]) for v in found}
    assert {v.tags["status"] for v in found} == {"passed", "candidate"}
    assert len(peaks) == 2
    assert peaks[version.version] == max(peaks.values())

    import mlflow
    from transformers import AutoTokenizer

    from mlproject.models.reward_model import RewardModel
    from mlproject.models.sequences import encode

    mlflow.set_tracking_uri(f"sqlite:///{store}/mlflow.db")
    responses = ["restart phone .", "thanks thanks thanks", "thanks " * 30, ""]
    table = pd.DataFrame({"prompt": ["my old phone is slow", "hi", "hello", "hi"], "response": responses})
    served = mlflow.pyfunc.load_model("models:/reward-model@champion").predict(table).reward.to_numpy()
    model = folder(client.get_run(version.run_id)) / "model"
    tokenizer = AutoTokenizer.from_pretrained(model)
    here = RewardModel.load(model).scores(encode(tokenizer, table.prompt.tolist(), table.response.tolist(), 25))
    np.testing.assert_allclose(served, here, rtol=0, atol=1e-5)


def test_no_model_is_kept_as_a_pickle(client, store):
    kept = [path.name for path in store.rglob("*") if path.suffix in (".pkl", ".pickle", ".bin", ".pt")]
    assert kept == []


def test_trials_and_their_runs_point_at_each_other(client):
    search = runs(client, "overoptimization/studies", "tags.`mlproject.kind` = 'search'")[0]
    trials = pd.read_csv(folder(search) / "trials.csv")
    assert len(trials) == 2
    for trial in trials.itertuples():
        run = client.get_run(trial.run_id)
        assert float(run.data.params["kl_coef"]) == trial.kl_coef
        assert np.isclose(run.data.metrics["peak/gold"], trial.peak_gold)
        if not trial.reused:
            assert run.data.tags["optuna.trial_number"] == str(int(trial.number))
            assert run.data.tags["mlproject.made_by"] == search.info.run_id


def test_tracking_takes_little_of_the_time(client):
    rows = [row for row in members(client) if row["seconds"]]
    assert sum(row["tracking_seconds"] for row in rows) < 0.15 * sum(row["seconds"] for row in rows)


def test_the_same_study_again_repeats_no_run(client, store):
    before = {run.info.run_id for run in runs(client, "overoptimization")}
    answer = run_here(store, "main", "--preset", "smoke")
    assert answer.returncode == 0, answer.stderr
    assert {run.info.run_id for run in runs(client, "overoptimization")} == before
    again = runs(client, "overoptimization/studies", "tags.`mlproject.entry_point` = 'main'")[0]
    rows = json.loads((folder(again) / "steps.json").read_text())
    assert all(row["reused"] for row in rows)
    assert (folder(again) / "report.html").exists()


def test_a_promotion_audits_the_challenger_on_prompts_of_its_own(client):
    [run] = runs(client, "overoptimization/studies", "tags.`mlproject.kind` = 'promotion'")
    [audit] = runs(client, "overoptimization/studies", "tags.`mlproject.kind` = 'audit'")
    assert audit.data.metrics["audit/gold"] == pytest.approx(run.data.metrics["gate/margin"])
    assert audit.data.params["audit_prompts"] == "48"
    inputs = json.loads(audit.data.tags["mlproject.inputs"])
    curve = client.get_run(inputs["policy-run"])
    assert audit.data.metrics["audit/step"] == curve.data.metrics["peak/step"]
    assert audit.data.metrics["audit/kl"] == pytest.approx(curve.data.metrics["peak/kl"])
    assert audit.data.metrics["audit/gold"] != pytest.approx(curve.data.metrics["peak/gold"], abs=1e-6)


@pytest.mark.slow
def test_a_promotion_can_rest_on_ppo_whose_peak_checkpoint_is_audited(client, store):
    margin = "{metric: margin, at_least: -9, judged_by: low, otherwise: It is behind., remedy: None.}"
    (store / "gates.yaml").write_text(f"method: ppo\ngates: [{margin}]\n")
    answer = run_here(store, "promote", "--preset", "smoke", "--gates", "gates.yaml", "--proxy", "1k", "--dry-run")
    assert answer.returncode == 0, answer.stderr
    rehearsal = runs(client, "overoptimization/studies", "tags.`promotion.outcome` = 'dry-run'")[0]
    assert rehearsal.data.metrics["gate/margin_holds"] == 1
    audits = runs(client, "overoptimization/studies", "tags.`mlproject.kind` = 'audit' and params.method = 'ppo'")
    assert {run.data.params["rm_size"] for run in audits} == {"1k", "13k"}, "candidate and champion"
    for audit in audits:
        curve = client.get_run(json.loads(audit.data.tags["mlproject.inputs"])["policy-run"])
        assert audit.data.metrics["audit/step"] == curve.data.metrics["peak/step"]
        assert audit.data.metrics["audit/kl"] == pytest.approx(curve.data.metrics["peak/kl"], rel=0.3)


def test_a_run_against_a_version_is_warned_beyond_its_kl_budget_or_ends_there(client, store):
    version = client.get_model_version_by_alias("reward-model", "champion")
    measured, budget = version.tags["kl_budget.ppo"], 0.05
    assert float(measured) >= 0
    client.set_model_version_tag(
        "reward-model", version.version, "kl_budget.ppo", str(budget)
    )  # any training passes it
    beyond = ("ppo", "--preset", "smoke", "--proxy", "models:/reward-model@champion", "--ppo_updates", "12")
    warned = run_module(store, *beyond)  # its worker prints the warning
    assert warned.returncode == 0, warned.stderr
    assert warned.stderr.count("beyond the budget") == 1
    assert "was passed at step" in warned.stdout
    ended = run_here(store, *beyond, "--stop", "kl-budget")
    assert ended.returncode == 0, ended.stderr
    assert "was passed at step" in ended.stdout
    run = runs(client, "overoptimization", "tags.`kl_budget.stopped_at` != ''")[0]
    kl = [m.value for m in client.get_metric_history(run.info.run_id, "curve/kl")]
    assert max(kl[:-1]) <= budget < kl[-1]
    assert run.data.tags["mlproject.complete"] == "false"
    client.set_model_version_tag("reward-model", version.version, "kl_budget.ppo", measured)


def test_a_kl_budget_that_nobody_knows_is_refused_in_one_line(refused):
    assert "needs a registered version that names a KL budget" in refused(
        "ppo", "--preset", "smoke", "--proxy", "13k", "--stop", "kl-budget"
    )


def test_the_same_study_again_takes_the_alias_back_from_whoever_moved_it(client, store):
    version = client.get_model_version_by_alias("reward-model", "champion").version
    [other] = [v.version for v in client.search_model_versions("name = 'reward-model'") if v.version != version]
    client.set_registered_model_alias("reward-model", "champion", other)
    answer = run_here(store, "promote", "--preset", "smoke")
    assert answer.returncode == 0, answer.stderr
    assert f"version {version}," in answer.stdout
    assert client.get_model_version_by_alias("reward-model", "champion").version == version


def test_an_experiment_reuses_the_curves_of_a_study_and_keeps_what_its_page_needs(client, store):
    arguments = ["experiment", "--name", "rl_vs_bon", "--quick", "true", "--results", "kept"]
    answer = run_here(store, *arguments)
    assert answer.returncode == 0, answer.stderr
    [run] = runs(client, "overoptimization/studies", "tags.`mlproject.kind` = 'experiment'")
    cells = pd.read_csv(folder(run) / "cells.csv")
    assert len(cells) == 4
    assert cells.reused.all()
    names = {path.name for path in folder(run).iterdir()}
    assert {"figure.png", "table.csv", "results"} <= names
    kept = load_result("rl_vs_bon", store / "kept")
    for cell, run_id in zip(kept.cells, cells.run_id, strict=True):
        metrics, curve = client.get_run(run_id).data.metrics, Curve.load(folder(client.get_run(run_id)) / "curve.npz")
        assert np.isclose(cell.metrics["peak/gold"], metrics["peak/gold"], rtol=1e-5)
        assert "rm/val_loss" in cell.metrics
        np.testing.assert_allclose(cell.curve.gold_SP, curve.gold_SP, atol=RESOLUTION)
    answer = run_here(store, *arguments)
    assert answer.returncode == 0, answer.stderr
    assert len(runs(client, "overoptimization/studies", "tags.`mlproject.kind` = 'experiment'")) == 1


def test_the_findings_page_is_written_from_what_was_kept(store, client):
    answer = run_here(store, "findings", "--results", "kept", "--page", "pages/findings.md")
    assert answer.returncode == 0, answer.stderr
    page = (store / "pages" / "findings.md").read_text()
    assert "How do best-of-n and PPO compare" in page
    assert "too small to evaluate" in page
    for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page):
        assert (store / "pages" / link).stat().st_size > 1000


@pytest.fixture(scope="module")
def early_peak(client) -> str:
    """A law run whose prior is sure of a peak at 0.09 nats, which any training passes within a few updates."""
    prior = Prior(np.array([0.0, np.log(0.3), 0.1]), np.diag([0.01, 0.0025, 0.0025]), np.full(5, 0.2))
    studies = client.get_experiment_by_name("overoptimization/studies").experiment_id
    run = client.create_run(studies, tags={"mlproject.kind": "law", "mlproject.fingerprint": "an early peak"})
    parameters = str(SIZES["1k"].reward_model_parameters)
    client.log_text(run.info.run_id, json.dumps({"ppo": {parameters: prior.to_dict()}}), "priors.json")
    client.log_text(run.info.run_id, "{}", "laws.json")
    client.set_terminated(run.info.run_id)
    return run.info.run_id


@pytest.mark.trains
def test_a_run_stops_at_its_forecast_says_so_and_is_reused_by_the_same_command_alone(client, store, early_peak):
    arguments = ["ppo", "--preset", "smoke", "--proxy", "1k", "--ppo_updates", "12", "--forecast_prior"]
    answer = run_here(store, *arguments, early_peak, "--stop", "forecast")
    assert answer.returncode == 0, answer.stderr
    [stopped] = runs(client, "overoptimization", "params.stop = 'forecast'")
    at = int(stopped.data.tags["forecast/stopped_at"])
    assert stopped.info.status == "FINISHED" and stopped.data.tags["mlproject.complete"] == "false"
    assert f"(update {at}), before its budget" in answer.stdout
    curve = Curve.load(folder(stopped) / "curve.npz")
    assert curve.steps_S[-1] == at < 12
    beyond = {m.step: m.value for m in client.get_metric_history(stopped.info.run_id, "forecast/loses_beyond_kl")}
    kl = dict(zip(curve.steps_S.tolist(), curve.kl_S, strict=True))
    assert [step for step in beyond if kl[step] >= beyond[step]] == [at]
    assert run_here(store, *arguments, early_peak, "--stop", "forecast").returncode == 0
    assert len(runs(client, "overoptimization", "params.stop = 'forecast'")) == 1, "reused"

    assert run_here(store, *arguments, "latest").returncode == 0
    [whole] = runs(client, "overoptimization", f"params.forecast_prior = '{early_peak}' and params.stop = 'budget'")
    whole_curve = Curve.load(folder(whole) / "curve.npz")
    assert "mlproject.complete" not in whole.data.tags and whole_curve.steps_S[-1] == 12
    assert np.array_equal(whole_curve.gold_SP[: len(curve)], curve.gold_SP), "the same run up to the stop"
    alarms = {m.step: m.value for m in client.get_metric_history(whole.info.run_id, "alarms/peak-behind")}
    assert sorted(alarms) == whole_curve.steps_S.tolist() and alarms[at] == 1.0, "an alarm informs, and stops no run"


@pytest.mark.parametrize("given", ["0" * 32, "nothing"])
def test_a_law_that_is_not_there_is_refused_in_one_line(refused, given):
    assert given in refused("ppo", "--preset", "smoke", "--proxy", "1k", "--forecast_prior", given)


def test_a_changed_option_repeats_only_what_depends_on_it(client, store):
    answer = run_here(store, "best_of_n", "--preset", "smoke", "--proxy", "13k", "--bon_points", "6")
    assert answer.returncode == 0, answer.stderr
    again = runs(client, "overoptimization/studies", "tags.`mlproject.entry_point` = 'best_of_n'")[0]
    rows = json.loads((folder(again) / "steps.json").read_text())
    assert [row["kind"] for row in rows if not row["reused"]] == ["policy-run"]


def test_a_proxy_is_found_by_run_id_and_by_alias(client, store):
    version = client.get_model_version_by_alias("reward-model", "champion")
    for given in (version.run_id, "models:/reward-model@champion"):
        answer = run_here(store, "ppo", "--preset", "smoke", "--proxy", given)
        assert answer.returncode == 0, answer.stderr
        again = runs(client, "overoptimization/studies", "tags.`mlproject.entry_point` = 'ppo'")[0]
        rows = json.loads((folder(again) / "steps.json").read_text())
        assert all(row["reused"] for row in rows), "the same proxy by another name is the same step"


@pytest.mark.parametrize("given", ["0" * 32, "models:/reward-model@nobody", "models:/nothing/1", "models:/", "2k"])
def test_a_proxy_that_is_not_there_is_refused_in_one_line(client, refused, given):
    before = len(runs(client, "overoptimization/studies"))
    assert given in refused("ppo", "--preset", "smoke", "--proxy", given)
    assert len(runs(client, "overoptimization/studies")) == before


def test_an_interrupted_study_says_so_in_one_line_and_closes_its_runs(client, store):
    arguments = ["ppo", "--preset", "smoke", "--proxy", "1k", "--ppo_updates", "300"]
    process = start(store, *arguments)
    [run] = wait_for_runs(client, "params.ppo_updates = '300'")
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "mlproject: interrupted. Run the same command to continue."
    assert client.get_run(run.info.run_id).info.status == "KILLED"
    study = runs(client, "overoptimization/studies", "tags.`mlproject.entry_point` = 'ppo'")[0]
    assert study.info.status == "KILLED"


def test_nothing_temporary_is_left_by_a_study_and_its_interruption(store, study):
    # `mlflow run` makes an empty folder, for files that it downloads as arguments of an entry point, and leaves it
    assert [path for path in temporary(store).rglob("*") if path.is_file() or "mlproject" in path.name] == []


def test_the_version_of_a_promotion_takes_no_further_space(client, store):
    version = client.get_model_version_by_alias("reward-model", "champion")
    copies = [path for path in (store / "mlruns").rglob("model.safetensors") if version.run_id in str(path)]
    assert len(copies) == 2 and copies[0].samefile(copies[1])


@pytest.mark.parametrize("whom", [pytest.param("study alone", marks=pytest.mark.slow), "study and workers"])
def test_a_killed_study_goes_on_where_it_was(client, store, whom):
    updates = {"study alone": "150", "study and workers": "120"}[whom]
    arguments = ["ppo", "--preset", "smoke", "--proxy", "1k", "--ppo_updates", updates]
    process = start(store, *arguments)
    query = f"params.ppo_updates = '{updates}'"
    [cut_off] = wait_for_runs(client, query)
    if whom == "study alone":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert client.get_run(cut_off.info.run_id).info.status == "RUNNING"
    time.sleep(1)  # workers notice that the study is gone
    answer = run_here(store, *arguments)
    assert answer.returncode == 0, answer.stderr
    [resumed] = runs(client, "overoptimization", query)
    assert resumed.info.run_id == cut_off.info.run_id
    assert resumed.info.status == "FINISHED"
    history = client.get_metric_history(resumed.info.run_id, "curve/gold")
    assert sorted(m.step for m in history) == sorted({m.step for m in history}), "no point twice"
    for room in ("", "/models", "/studies"):
        assert not runs(client, f"overoptimization{room}", "attributes.status = 'RUNNING'")
