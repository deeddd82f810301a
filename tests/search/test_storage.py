"""Two searches are the same if they share everything that changes a trial; storages are whole or not there."""

import json
import sqlite3
from contextlib import closing

import optuna
import pytest

from mlproject.config.schema import load_config
from mlproject.search.storage import open_storage, shared_options
from mlproject.tracking import database


@pytest.mark.parametrize(
    "option",
    [{"test_rms": "same"}, {"ensemble": "2"}, {"rm_checkpoint_lr": "1e-3"}, {"lora_rank": "4"}, {"rm_lr": "1e-3"}],
)
def test_an_option_that_changes_proxies_or_ppo_makes_another_search(option):
    assert shared_options(load_config("smoke", option)) != shared_options(load_config("smoke", {}))


def test_options_that_are_not_used_do_not_identify_a_search():
    options = json.loads(shared_options(load_config("smoke", {})))
    assert not {"test_rms", "ensemble", "rm_checkpoint_lr", "checkpoints", "lora_rank"} & set(options)


@pytest.fixture
def storage_of(store, tmp_path, monkeypatch):
    """Opens the storage in an empty folder, through a relative or an absolute URL."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(database, "_SETTLED_SECONDS", -1.0)

    def opened(url: str = "sqlite:///here.db"):
        return open_storage(load_config("smoke", {"storage": url}), store)

    return opened


def test_a_fresh_storage_is_made_aside_and_serves_studies(storage_of, tmp_path, capsys):
    optuna.create_study(storage=storage_of(), study_name="one")
    assert [study.study_name for study in storage_of(f"sqlite:///{tmp_path}/here.db").get_all_studies()] == ["one"]
    assert [path.name for path in tmp_path.iterdir()] == ["here.db"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("lacks", ["everything", "version", "a table"])
def test_a_storage_that_optuna_left_half_made_is_replaced_with_one_line(lacks, storage_of, tmp_path, capsys):
    path = tmp_path / "here.db"
    if lacks == "everything":
        path.touch()
    else:
        storage_of()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM alembic_version")
            if lacks == "a table":
                connection.execute("DROP TABLE trial_values")
                connection.execute("DELETE FROM version_info")
    optuna.create_study(storage=storage_of(), study_name="one")
    said = capsys.readouterr().err
    assert "here.db was left half made" in said
    assert said.count("\n") == 1


def test_a_storage_with_a_study_is_never_replaced(storage_of, tmp_path, capsys):
    path = tmp_path / "here.db"
    optuna.create_study(storage=storage_of(), study_name="one")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM alembic_version")  # as storages of Optuna 1 have none
    assert [study.study_name for study in storage_of().get_all_studies()] == ["one"]
    assert capsys.readouterr().err == ""
