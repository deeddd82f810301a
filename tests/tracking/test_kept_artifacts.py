"""Finished runs whose artifacts somebody has deleted: noticed, said, and made anew under the same run id."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from tests.execution.toy_steps import NUMBER, diamond, scheduler, total, toy

from mlproject.errors import UserError
from mlproject.execution.executors import InProcessExecutor
from mlproject.names import Artifact, Kind, Tag
from mlproject.pipeline.step import RunRef, Step
from mlproject.tracking.kept_artifacts import missing_artifact
from mlproject.tracking.run_data import artifact


def folder_of(store, run_id: str) -> Path:
    return Path(unquote(urlparse(store.client().get_run(run_id).info.artifact_uri).path))


def made(store, version: int) -> tuple[Step, dict[str, str]]:
    """A diamond of steps and the run id of each."""
    last = diamond(version=version)
    outcomes = scheduler(store, InProcessExecutor()).run([last])
    return last, {step.name: outcome.run_id for step, outcome in outcomes.items()}


def delete_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def delete_file(folder: Path) -> None:
    (folder / NUMBER).unlink()


def truncate(folder: Path) -> None:
    (folder / NUMBER).write_text("")


@pytest.mark.parametrize(("version", "lose"), [(1001, delete_folder), (1002, delete_file), (1003, truncate)])
def test_what_was_lost_is_made_anew_under_its_run_id_and_the_rest_is_reused(store, version, lose, capsys):
    last, ids = made(store, version)
    lose(folder_of(store, ids["left"]))
    assert missing_artifact(store.client(), ids["left"]) == NUMBER
    capsys.readouterr()
    outcomes = scheduler(store, InProcessExecutor()).run([last])
    said = capsys.readouterr().err
    assert {step.name: outcome.reused for step, outcome in outcomes.items()} == {
        "source": True, "left": False, "right": True, "sum": True,
    }  # fmt: skip
    assert {step.name: outcome.run_id for step, outcome in outcomes.items()} == ids
    assert [line for line in said.splitlines() if "lost" in line and f"left: run {ids['left']}" in line] != []
    assert said.count("is made anew") == 1
    assert total(store, ids["left"]) == 11 and missing_artifact(store.client(), ids["left"]) == ""
    assert store.client().get_run(ids["left"]).info.status == "FINISHED"
    again = scheduler(store, InProcessExecutor()).run([last])
    assert all(outcome.reused for outcome in again.values())


def test_a_step_and_its_input_that_are_both_lost_are_made_in_order(store):
    last, ids = made(store, version=2001)
    for name in ("source", "sum"):
        shutil.rmtree(folder_of(store, ids[name]))
    outcomes = scheduler(store, InProcessExecutor()).run([last])
    assert [step.name for step, outcome in outcomes.items() if not outcome.reused] == ["source", "sum"]
    assert total(store, ids["sum"]) == 132


def test_a_run_that_is_named_as_an_input_and_has_lost_its_artifacts_is_refused_in_one_line(store):
    source = toy("source", 5, version=2002)
    run_id = scheduler(store, InProcessExecutor()).run([source])[source].run_id
    shutil.rmtree(folder_of(store, run_id))
    reader = toy("reader", 1, {"source": RunRef(run_id, source.fingerprint)}, version=2002)
    with pytest.raises(UserError, match=f"run {run_id}: must still have its artifacts, but {NUMBER} is gone"):
        scheduler(store, InProcessExecutor()).run([reader])
    with pytest.raises(UserError, match="must still have its artifacts"):
        artifact(store.client(), run_id, NUMBER)


@pytest.mark.parametrize(
    ("kind", "kept", "lost"),
    [
        (Kind.POOL, [], Artifact.POOL),
        (Kind.POOL, [Artifact.POOL], ""),
        (Kind.GOLD_RM, [Artifact.UNITS], Artifact.MODEL),
        (Kind.GOLD_RM, [Artifact.UNITS, Artifact.SCORER_FUNCTION], ""),
        (Kind.PROXY_RM, ["other.txt"], Artifact.MODEL),
        (Kind.STUDY, [], ""),
    ],
)
def test_runs_that_do_not_say_what_they_left_are_known_by_their_kind(store, tmp_path, kind, kept, lost):
    client = store.client()
    run_id = client.create_run(store.models, tags={Tag.KIND: kind}).info.run_id
    for name in kept:
        (tmp_path / name).write_text("x")
        client.log_artifact(run_id, str(tmp_path / name))
    assert missing_artifact(client, run_id) == lost


def test_a_store_that_cannot_be_listed_has_lost_nothing(store, monkeypatch):
    _, ids = made(store, version=2003)
    client = store.client()

    def fails(*arguments):
        raise ConnectionError("planted")

    monkeypatch.setattr(client, "list_artifacts", fails)
    assert missing_artifact(client, ids["sum"]) == ""
