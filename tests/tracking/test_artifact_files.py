"""Artifacts of a local store are read in place, and equal ones can be one file, of which one name can be replaced."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import mlflow.artifacts
import pytest

from mlproject.tracking import artifact_files
from mlproject.tracking.artifact_files import fetch, fetch_uri, log_folder, share_files
from mlproject.tracking.run_data import artifact


@pytest.fixture
def run_id(store, tmp_path):
    client = store.client()
    run_id = client.create_run(store.models).info.run_id
    write(tmp_path / "model", {"weights": "1 2 3", "deep/config": "{}"})
    client.log_artifacts(run_id, str(tmp_path / "model"), "model")
    return run_id


def write(folder: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_files_beside_the_database_are_read_in_place_and_nothing_temporary_is_made(store, run_id, monkeypatch):
    monkeypatch.setattr(tempfile, "mkdtemp", None)
    client = store.client()
    for found in (fetch(client, run_id, "model/weights"), artifact(client, run_id, "model") / "weights"):
        assert found.is_relative_to(store.folder)
        assert found.read_text() == "1 2 3"
    assert fetch(client, run_id) == fetch_uri(client, client.get_run(run_id).info.artifact_uri)
    with pytest.raises(FileNotFoundError, match=r"no such artifact: .*/absent"):
        fetch(client, run_id, "absent")


def test_files_of_a_server_are_downloaded_to_where_it_is_asked_for_or_to_a_temporary_folder(tmp_path, monkeypatch):
    run = SimpleNamespace(info=SimpleNamespace(artifact_uri="mlflow-artifacts:/1/a/artifacts"))
    server = SimpleNamespace(tracking_uri="http://server", get_run=lambda run_id: run)
    asked = []

    def download(dst_path, **what):
        asked.append(what)
        return dst_path

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert fetch(server, "a", "model", into=tmp_path / "here") == tmp_path / "here"
    assert fetch(server, "a").parent == tmp_path
    assert fetch_uri(server, "s3://bucket/model").parent == tmp_path
    assert asked == [
        {"run_id": "a", "artifact_path": "model", "tracking_uri": "http://server"},
        {"run_id": "a", "artifact_path": None, "tracking_uri": "http://server"},
        {"artifact_uri": "s3://bucket/model", "tracking_uri": "http://server"},
    ]


def test_equal_files_become_one_and_others_stay(tmp_path):
    original = write(tmp_path / "original", {"weights": "1 2 3", "deep/config": "{}", "notes": "same length"})
    copy = write(tmp_path / "copy", {"weights": "1 2 3", "deep/config": "{}", "notes": "other bytes", "new": "x"})
    before = texts(copy)
    share_files(copy, original)
    assert texts(copy) == before
    shared = {name for name in before if (original / name).exists() and (original / name).samefile(copy / name)}
    assert shared == {"weights", "deep/config"}
    share_files(copy, original)
    assert texts(copy) == before
    assert (copy / "weights").stat().st_nlink == 2


def test_without_hard_links_the_copies_stay(tmp_path, monkeypatch):
    original, copy = (write(tmp_path / name, {"weights": "1 2 3"}) for name in ("original", "copy"))

    def refused(*paths):
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refused)
    share_files(copy, original)
    assert texts(copy) == {"weights": "1 2 3"} and (copy / "weights").stat().st_nlink == 1


def test_logging_again_replaces_a_shared_file_and_leaves_the_other_name_alone(store, run_id, tmp_path):
    client = store.client()
    log_folder(client, run_id, tmp_path / "model", "scorer")
    model, scorer = fetch(client, run_id, "model"), fetch(client, run_id, "scorer")
    share_files(scorer, model)
    assert (scorer / "weights").samefile(model / "weights")
    log_folder(client, run_id, write(tmp_path / "again", {"weights": "4"}), "model")
    assert texts(model) == {"weights": "4", "deep/config": "{}"}
    assert texts(scorer) == {"weights": "1 2 3", "deep/config": "{}"}


def test_no_other_module_downloads():
    package = Path(artifact_files.__file__).parents[1]
    users = [path.name for path in package.rglob("*.py") if "download_artifacts" in path.read_text()]
    assert users == ["artifact_files.py"]
