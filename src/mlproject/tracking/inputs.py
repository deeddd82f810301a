"""The artifacts of a step's inputs, read from the tracking store and never written to."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient

from mlproject.names import Tag


class InputArtifacts:
    """Folders with what a step reads.

    Args:
        client: of the tracking store.
        run_ids: of the inputs, by role.
    """

    def __init__(self, client: MlflowClient, run_ids: Mapping[str, str]) -> None:
        self._client, self._run_ids = client, run_ids
        self._downloads = tempfile.TemporaryDirectory(prefix="mlproject-inputs-")
        self._folders: dict[str, Path] = {}

    def folder(self, role: str) -> Path:
        """Folder with the artifacts of an input, downloaded once where the store is remote."""
        if role not in self._folders:
            remote = self._client.tracking_uri.startswith("http")
            place = str(Path(self._downloads.name, role)) if remote else None
            if place:
                Path(place).mkdir()
            path = mlflow.artifacts.download_artifacts(
                run_id=self._run_ids[role], dst_path=place, tracking_uri=self._client.tracking_uri
            )
            self._folders[role] = Path(path)
        return self._folders[role]

    def checkpoint(self, role: str, name: str) -> Path:
        """Folder with a model that an input kept by `log_checkpoint`."""
        source = self._run_ids[role]
        experiment = self._client.get_run(source).info.experiment_id
        [model] = [
            model
            for model in self._client.search_logged_models([experiment], f"source_run_id = '{source}'")
            if model.tags.get(Tag.STAGE) == name
        ]
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=model.artifact_location))

    def cleanup(self) -> None:
        """Delete what was downloaded."""
        self._downloads.cleanup()
