"""The store: three experiments beside the database, found again, and mistakes reported in one line."""

from __future__ import annotations

import shutil
import sqlite3
import sys

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS

from mlproject.errors import UserError
from mlproject.tracking import reachable
from mlproject.tracking import store as module
from mlproject.tracking.store import all_experiments, all_runs, open_store, tracking_uri


def test_experiments_keep_their_artifacts_beside_the_database(store):
    for experiment in store.experiments:
        location = store.client().get_experiment(experiment).artifact_location
        assert location.startswith((store.folder / "mlruns").as_uri())


def test_the_three_experiments_are_named_after_the_option(store):
    names = [store.client().get_experiment(experiment).name for experiment in store.experiments]
    assert names == ["trial", "trial/models", "trial/studies"]


def test_opening_the_store_again_finds_the_same_experiments(store):
    assert open_store("trial") == store


def test_an_experiment_that_another_process_creates_at_the_same_moment_is_used(store, monkeypatch):
    create = MlflowClient.create_experiment

    def create_and_be_late(self, name, **kwargs):
        create(self, name, **kwargs)
        raise MlflowException("it exists", error_code=RESOURCE_ALREADY_EXISTS)

    monkeypatch.setattr(MlflowClient, "create_experiment", create_and_be_late)
    raced = open_store("raced")
    assert store.client().get_experiment_by_name("raced").experiment_id == raced.policy_runs


def test_policy_runs_models_and_all_other_kinds_have_an_experiment_each(store):
    models = ("initial-policy", "gold-rm", "comparisons", "pool", "proxy-rm", "test-rm")
    others = ("study", "law", "experiment", "search", "audit", "promotion", "fit")
    assert store.experiment_of("policy-run") == store.policy_runs
    assert {store.experiment_of(kind) for kind in models} == {store.models}
    assert {store.experiment_of(kind) for kind in others} == {store.studies}


def test_reads_of_the_database_do_not_wait_for_writes(store):
    with sqlite3.connect(store.folder / "mlflow.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    ("uri", "absolute"),
    [
        ("", "sqlite:///{here}/mlflow.db"),
        ("sqlite:///runs.db", "sqlite:///{here}/runs.db"),
        ("sqlite:////elsewhere/runs.db", "sqlite:////elsewhere/runs.db"),
        ("https://tracking.example", "https://tracking.example"),
        ("postgresql://me:secret@host/runs", "postgresql://me:secret@host/runs"),
    ],
)
def test_paths_of_databases_are_absolute_and_addresses_of_servers_are_left_alone(uri, absolute, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking_uri() == absolute.format(here=tmp_path)


def test_a_kind_of_store_that_mlflow_no_longer_supports_is_refused_without_its_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "ftp://me:secret@host/runs")
    with pytest.raises(UserError) as refused:
        tracking_uri()
    assert str(refused.value).startswith("MLFLOW_TRACKING_URI=ftp://me:***@host/runs: must be sqlite:///PATH")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("behind", ["?token=s3cret", "/mlflow?token=s3cret", "#s3cret"])
def test_nothing_is_sent_to_a_server_whose_address_has_a_token_behind_it(behind, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://a-host.invalid{behind}")
    with pytest.raises(UserError, match=r"must be http\(s\)://SERVER, .*MLFLOW_TRACKING_TOKEN") as error:
        tracking_uri()
    assert "s3cret" not in str(error.value)


def test_a_database_in_a_folder_that_is_missing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/missing/mlflow.db")
    with pytest.raises(UserError, match=r"/missing must be a writable folder\. Create it"):
        open_store("trial")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_reported_at_once(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9: no server answers \(ConnectionError\)\. Start"):
        open_store("trial")


def test_a_deleted_experiment_is_refused_with_the_command_that_restores_it(store):
    deleted = open_store("deleted")
    store.client().delete_experiment(deleted.models)
    with pytest.raises(UserError, match=r"experiment=deleted/models: .*mlflow experiments restore"):
        open_store("deleted")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("mysql+nosuchdriver://me:secret@127.0.0.1/runs", "must be a database that can be reached"),
        ("mysql+oursql://me:secret@127.0.0.1/runs", "must be a database that can be reached"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:9/runs", "must be a database that can be reached"),
        ("postgresql://me:secret@[::1/runs", "must be a database that can be reached"),
    ],
)
def test_a_database_without_driver_or_server_is_refused_at_once(uri, said, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError) as refused:
        open_store("trial")
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_database_that_is_locked_is_refused_in_one_line(tmp_path, empty_database, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setattr(reachable, "LOCKED_SECONDS", 0.2)
    with sqlite3.connect(tmp_path / "mlflow.db") as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match=r"must not be locked by another process"):
            open_store("trial")
        other.rollback()


def test_all_runs_are_read_page_by_page_newest_first_without_deleted_ones(store, leave_run, monkeypatch):
    monkeypatch.setattr(module, "_PAGE", 2)
    run_ids = [leave_run("paged", start_time=1000 + i) for i in range(7)]
    store.client().delete_run(run_ids[3])
    query = "tags.`mlproject.fingerprint` = 'paged'"
    runs = [run.info.run_id for run in all_runs(store.client(), store.experiments, query)]
    assert runs == [*reversed(run_ids[4:]), *reversed(run_ids[:3])]


def test_experiments_of_other_names_are_found_too(store):
    foreign = store.client().create_experiment("foreign")
    assert {foreign, *store.experiments} <= set(all_experiments(store.client()))


def test_artifacts_that_this_machine_cannot_write_are_refused_at_once(tmp_path, empty_database, monkeypatch):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.create_experiment("trial", artifact_location="s3://bucket/runs")
    monkeypatch.setitem(sys.modules, "boto3", None)  # as where it is not installed
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(UserError, match=r"s3://bucket/runs must be within reach .*pip install boto3"):
        open_store("trial")
    monkeypatch.setattr(reachable, "get_artifact_repository", lambda *arguments: Unreachable())
    with pytest.raises(UserError, match=r"s3://bucket/runs must be within reach .*no credentials"):
        open_store("trial")


class Unreachable:
    def list_artifacts(self, path):
        raise OSError("no credentials")
