"""The descriptions of experiments lead on to runs, views, the newest study and the champion."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mlproject.optimization import METHODS
from mlproject.tracking import descriptions
from mlproject.tracking.descriptions import describe_experiments, describe_newest_study


class Client:
    """Experiments with tags; counts what is written."""

    def __init__(self) -> None:
        self.tags: dict[str, dict[str, str]] = {"1": {}, "2": {}, "3": {}}
        self.written = 0

    def get_experiment(self, experiment_id: str) -> SimpleNamespace:
        return SimpleNamespace(tags=self.tags[experiment_id])

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        self.tags[experiment_id][key] = value
        self.written += key == "mlflow.note.content"

    def note(self, experiment_id: str) -> str:
        return self.tags[experiment_id]["mlflow.note.content"]


STORE = SimpleNamespace(policy_runs="1", models="2", studies="3")


def study(run_id: str, experiment_id: str) -> SimpleNamespace:
    info = {"run_id": run_id, "run_name": f"study {run_id}", "experiment_id": experiment_id}
    return SimpleNamespace(info=SimpleNamespace(**info))


@pytest.fixture
def client() -> Client:
    client = Client()
    describe_experiments(client, STORE, list(METHODS.values()), "reward-model")
    return client


def test_every_view_is_linked_on_its_runs_and_the_champion_too(client):
    views = descriptions.install_views(client, STORE.policy_runs, list(METHODS.values()))
    note = client.note("1")
    assert len(views) > 2
    for name, key in views.items():
        assert f"- [{name}](/#/experiments/1/runs?viewStateShareKey={key}" in note
    assert "workflowType=machine_learning" in note and "(/#/models/reward-model)" in note
    assert "(/#/experiments/3/runs?workflowType=machine_learning)" in client.note("3")


def test_the_newest_study_replaces_the_one_before_and_survives_a_new_description(client):
    describe_newest_study(client, STORE, study("a", "3"), ["Use 3k.", "Stop."])
    describe_newest_study(client, STORE, study("b", "0"), ["Use 25k."])
    describe_experiments(client, STORE, list(METHODS.values()), "reward-model")
    for experiment_id in ("1", "3"):
        note = client.note(experiment_id)
        assert note.endswith("## Newest study\n\n[study b](/#/experiments/0/runs/b): Use 25k.")
        assert "study a" not in note
    assert "Newest study" not in client.note("2")


def test_nothing_is_written_where_nothing_changes(client):
    before = client.written
    describe_experiments(client, STORE, list(METHODS.values()), "reward-model")
    assert client.written == before
