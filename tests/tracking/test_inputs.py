"""Artifacts of inputs: read in place beside the database, downloaded once from a server, and never changed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import mlflow.artifacts
import pytest

from mlproject.tracking.inputs import InputArtifacts


@pytest.fixture
def finished(store):
    """A run with one artifact, and two logged models."""
    client = store.client()
    run_id = client.create_run(store.models).info.run_id
    client.log_text(run_id, "content", "folder/file.txt")
    for stage in ("peak", "end"):
        model = client.create_logged_model(store.models, source_run_id=run_id, tags={"mlproject.stage": stage})
        Path(f"{stage}.txt").write_text(stage)
        client.log_model_artifact(model.model_id, f"{stage}.txt")
        client.finalize_logged_model(model.model_id, "READY")
    return run_id


def test_artifacts_beside_the_database_are_read_where_they_are(store, finished):
    inputs = InputArtifacts(store.client(), {"proxy-rm": finished})
    folder = inputs.folder("proxy-rm")
    assert folder.is_relative_to(store.folder)
    assert (folder / "folder" / "file.txt").read_text() == "content"
    inputs.cleanup()
    assert (folder / "folder" / "file.txt").exists(), "the store's own file is left alone"


def test_a_checkpoint_is_found_by_its_stage(store, finished):
    inputs = InputArtifacts(store.client(), {"policy-run": finished})
    for stage in ("peak", "end"):
        assert [path.name for path in inputs.checkpoint("policy-run", stage).iterdir()] == [f"{stage}.txt"]


def test_artifacts_of_a_server_are_downloaded_once_for_each_role_and_deleted_at_the_end(monkeypatch):
    downloads = []

    def download(run_id, artifact_path, dst_path, tracking_uri):
        assert artifact_path is None, "all of them"
        downloads.append((run_id, tracking_uri))
        Path(dst_path).mkdir()
        Path(dst_path, "file.txt").write_text(run_id)
        return dst_path

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
    run = SimpleNamespace(info=SimpleNamespace(artifact_uri="mlflow-artifacts:/1/run/artifacts"))
    server = SimpleNamespace(tracking_uri="http://server", get_run=lambda run_id: run)
    inputs = InputArtifacts(server, {"pool": "a", "proxy-rm": "b"})
    folders = [inputs.folder(role) for role in ("pool", "proxy-rm", "pool")]
    assert [(folder / "file.txt").read_text() for folder in folders] == ["a", "b", "a"]
    assert downloads == [("a", "http://server"), ("b", "http://server")]
    inputs.cleanup()
    assert not any(folder.exists() for folder in folders)


def test_a_role_that_the_step_does_not_have_is_an_error(store):
    with pytest.raises(KeyError, match="pool"):
        InputArtifacts(store.client(), {}).folder("pool")
