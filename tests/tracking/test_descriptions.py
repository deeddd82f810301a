"""The descriptions of experiments lead on to views, the newest study and the champion, in one line."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException

from mlproject.optimization import METHODS
from mlproject.tracking import descriptions
from mlproject.tracking.descriptions import (
    describe_experiments,
    describe_policy_run,
    describe_study,
    record_newest_study,
)

METHOD_LIST = list(METHODS.values())


class Client:
    """Experiments with tags, and a champion; counts what is written."""

    def __init__(self) -> None:
        self.tags: dict[str, dict[str, str]] = {"1": {}, "2": {}, "3": {}}
        self.written = 0
        self.champion = ""

    def get_experiment(self, experiment_id: str) -> SimpleNamespace:
        return SimpleNamespace(tags=self.tags[experiment_id])

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        self.tags[experiment_id][key] = value
        self.written += key == "mlflow.note.content"

    def get_model_version_by_alias(self, name: str, alias: str) -> SimpleNamespace:
        if not self.champion:
            raise MlflowException("no such alias")
        return SimpleNamespace(version=self.champion)

    def note(self, experiment_id: str) -> str:
        return self.tags[experiment_id]["mlflow.note.content"]

    def describe(self, methods=METHOD_LIST) -> None:
        describe_experiments(self, STORE, methods, "reward-model")


STORE = SimpleNamespace(policy_runs="1", models="2", studies="3", experiments=["1", "2", "3"])


def study(run_id: str, experiment_id: str) -> SimpleNamespace:
    info = {"run_id": run_id, "run_name": f"study {run_id}", "experiment_id": experiment_id}
    return SimpleNamespace(info=SimpleNamespace(**info))


def links(text: str) -> dict[str, str]:
    """Address by text of the links of a description."""
    return dict(re.findall(r"\[([^\]]+)\]\(([^)]+)\)", text))


@pytest.fixture
def client() -> Client:
    client = Client()
    client.describe()
    return client


def test_every_view_is_linked_on_its_runs(client):
    views = descriptions.install_views(client, STORE.policy_runs, METHOD_LIST)
    found = links(client.note("1"))
    assert len(views) > 2
    for name, key in views.items():
        assert found[name].startswith(f"#/experiments/1/runs?viewStateShareKey={key}&")
        assert "workflowType=machine_learning" in found[name]
    assert links(client.note("3"))["runs"] == "#/experiments/3/runs?workflowType=machine_learning"


def test_the_two_best_reward_models_are_one_click_away_and_a_comparison_of_samples_does_not_replace_the_study(client):
    record_newest_study(client, STORE, study("b", "0"), ["Use 25k."], ["r1", "r2"])
    record_newest_study(client, STORE, study("c", "3"), ["Use armo."], ["r3", "r4"], is_comparison=True)
    client.describe()
    note = client.note("1")
    found = links(note.split("\n")[0])
    assert "viewStateShareKey=overoptimization-best-two&" in found["best two"]
    assert "viewStateShareKey=overoptimization-best-two-of-samples&" in found["best two of samples"]
    assert "/runs/b" in found["recommendation"] and "/runs/b/" in found["report"]
    assert "Newest study: [study b]" in note and "Newest comparison of samples: [study c]" in note
    views = {key.rpartition(".")[2]: value for key, value in client.tags["1"].items() if "View" in key}
    for name, run_ids in (("best-two", "'r1', 'r2'"), ("best-two-of-samples", "'r3', 'r4'")):
        assert f"attributes.run_id IN ({run_ids})" in json.loads(views[f"overoptimization-{name}"])["searchFilter"]


def test_the_first_line_leads_to_figures_samples_recommendation_report_and_champion(client):
    client.champion = "7"
    record_newest_study(client, STORE, study("b", "0"), ["Use 25k."])
    client.describe()
    first = client.note("1").split("\n")[0]
    found = links(first)
    assert list(found) == [
        "best-of-n", "PPO", "all runs", "search", "samples", "recommendation", "report",
        "champion",
    ]  # fmt: skip
    assert "compareRunsMode=ARTIFACT" in found["samples"] and "overoptimization-ppo" in found["PPO"]
    assert found["recommendation"] == "#/experiments/0/runs/b?workflowType=machine_learning"
    assert found["report"] == "#/experiments/0/runs/b/artifacts/report.html?workflowType=machine_learning"
    assert found["champion"] == "#/models/reward-model/versions/7"
    shown = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", first)
    assert len(shown) <= 112, "what MLflow shows of a description in a window of 1500 pixels"
    assert not first.startswith("["), "MLflow's list of experiments shows the first words as they are written"


def test_without_champion_the_model_is_linked(client):
    assert links(client.note("2"))["champion"] == "#/models/reward-model"


def test_the_newest_study_replaces_the_one_before_and_survives_a_new_description(client):
    record_newest_study(client, STORE, study("a", "3"), ["Use 3k.", "Stop."])
    record_newest_study(client, STORE, study("b", "0"), ["Use 25k, *now*."])
    client.describe()
    for experiment_id in ("1", "3"):
        note = client.note(experiment_id)
        assert "Newest study: [study b](#/experiments/0/runs/b?workflowType=machine_learning)." in note
        assert "Use 25k, \\*now\\*." in note, "what a study says is text"
        assert "study a" not in note
    assert "Newest study" not in client.note("2")


def test_a_command_with_fewer_methods_keeps_the_links_to_those_of_earlier_ones():
    client = Client()
    client.describe([METHODS["best-of-n"], METHODS["ppo"]])
    before = client.note("1")
    for later in (["best-of-n"], ["ppo"], []):
        client.describe([METHODS[name] for name in later])
        assert client.note("1") == before
    client.describe([METHODS["soft-best-of-n"]])
    assert set(list(links(client.note("1").split("\n")[0]))[:2]) == {"soft best-of-n", "PPO"}, (
        "its own, and another kind"
    )
    assert {"Over-optimization, best-of-n", "Over-optimization, PPO"} <= set(links(client.note("1")))


def test_nothing_is_written_where_nothing_changes(client):
    before = client.written
    client.describe()
    assert client.written == before


def test_runs_show_their_figure_from_the_server_and_links_of_their_own(client):
    note = describe_policy_run("1", "r", "Gold peaks.", "curve.png")
    assert "![curve.png](get-artifact?path=curve.png&run_uuid=r)" in note and note.startswith("**Gold peaks.**")
    assert "compareRunsMode=ARTIFACT" in links(note)["samples side by side"]
    note = describe_study(STORE, study("s", "0"), ["Use 25k.", "Stop."], METHOD_LIST[:2])
    assert note.startswith("**Use 25k.**") and "Stop." in note
    assert links(note)["report.html"] == "#/experiments/0/runs/s/artifacts/report.html?workflowType=machine_learning"
