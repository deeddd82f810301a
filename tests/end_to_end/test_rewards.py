"""Rewards that are no models in whole commands of the embedded world."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.rewards.loopback import serving
from tests.support.commands import run_here

from mlproject.curve import Curve

pytestmark = [pytest.mark.slow, pytest.mark.trains]

FUNCTIONS = """
def length(prompts, responses):
    return [float(len(text.split())) for text in responses]

def trl_length(completions, **columns):
    return [float(len(text.split())) for text in completions]

def fails(prompts, responses):
    raise RuntimeError("no way")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rewards")
    (folder / "planted_rewards.py").write_text(FUNCTIONS)
    return folder


def best_of_n(folder: Path, proxy: str, *options: str):
    return run_here(folder, "best_of_n", "--preset", "smoke", "--proxy", proxy, *options)


def policy_runs(folder: Path, **params: str) -> list:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("overoptimization").experiment_id])
    return [run for run in runs if all(run.data.params.get(name) == value for name, value in params.items())]


def curve(run) -> Curve:
    return Curve.load(Path(run.info.artifact_uri.removeprefix("file://")) / "curve.npz")


def test_a_function_one_of_trls_and_a_service_give_the_same_curve(folder):
    def lengths(path, content, number):
        if number % 2 == 0:
            return 429, "busy", {"Retry-After": "0"}
        return 200, {"scores": [len(text.split()) for text in content["responses"]]}, {}

    with serving(lengths) as (url, _):
        names = ["planted_rewards:length", "planted_rewards:trl_length", f"{url}/score"]
        for name in names:
            answer = best_of_n(folder, name)
            assert answer.returncode == 0, answer.stderr
    runs = [policy_runs(folder, rm_size=name)[0] for name in names]
    first, *others = map(curve, runs)
    assert first.proxy_S[-1] > first.proxy_S[0]
    for other in others:
        assert other.proxy_SP == pytest.approx(first.proxy_SP) and other.gold_SP == pytest.approx(first.gold_SP)
    metrics = [run.data.metrics for run in runs]
    assert metrics[0]["scorer/proxy_cache_hits"] > 0
    assert [each["scorer/proxy_retries"] for each in metrics[:2]] == [0, 0]
    assert metrics[2]["scorer/proxy_retries"] >= metrics[2]["scorer/proxy_calls"] > 0


def test_a_version_makes_another_run_and_the_same_command_none(folder):
    count = len(policy_runs(folder, rm_size="planted_rewards:length"))
    assert best_of_n(folder, "planted_rewards:length").returncode == 0
    assert len(policy_runs(folder, rm_size="planted_rewards:length")) == count
    assert best_of_n(folder, "planted_rewards:length", "--scorer_version", "2").returncode == 0
    assert len(policy_runs(folder, rm_size="planted_rewards:length")) == count + 1


def test_ppo_is_trained_against_a_function_and_probes_try_it(folder):
    answer = run_here(folder, "ppo", "--preset", "smoke", "--proxy", "planted_rewards:length", "--ppo_updates", "2")
    assert answer.returncode == 0, answer.stderr
    [run] = policy_runs(folder, method="ppo")
    assert run.data.metrics["scorer/proxy_responses"] > 0
    answer = run_here(folder, "probe", "--preset", "smoke", "--proxy", "planted_rewards:length")
    assert answer.returncode == 0, answer.stderr
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    studies = client.search_runs([client.get_experiment_by_name("overoptimization/studies").experiment_id])
    [probes] = [each for each in studies if each.data.tags["mlproject.kind"] == "probes"]
    rows = json.loads((Path(probes.info.artifact_uri.removeprefix("file://")) / "probes.json").read_text())
    gains = {row["name"]: row["gain"][0] for row in rows}
    assert gains["empty"] < 0 < gains["repeated_word"] and gains["said_twice"] > 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("best_of_n", "--proxy", "planted_rewards:fails"), "must not fail (RuntimeError: no way)"),
        (("ppo", "--proxy", "http://127.0.0.1:9/score"), "proxy=http://127.0.0.1:9/score: must be a service"),
        (("promote", "--proxy", "planted_rewards:length"), "has no weights that a version"),
        (("best_of_n", "--proxy", "planted_rewards:length", "--ensemble", "2"), "ensemble"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_with_exit_code_2(folder, words, line):
    answer = run_here(folder, words[0], "--preset", "smoke", *words[1:])
    assert answer.returncode == 2
    assert line in answer.stderr and "Traceback" not in answer.stderr
