"""The artifacts of a step's inputs, read from the tracking store and never written to."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlproject.names import Tag
from mlproject.tracking.artifact_files import fetch, fetch_uri
from mlproject.tracking.kept_artifacts import lost, missing_artifact


class InputArtifacts:
    """Folders with the artifacts of a step's inputs.

    With a remote store they are downloaded, each once, into a temporary folder; `cleanup` deletes it.

    Args:
        client: client of the tracking store.
        run_ids: run id of every input by its role.
    """

    def __init__(self, client: MlflowClient, run_ids: Mapping[str, str]) -> None:
        self._client, self._run_ids = client, run_ids
        self._downloads = tempfile.TemporaryDirectory(prefix="mlproject-inputs-")
        self._folders: dict[str, Path] = {}

    def folder(self, role: str) -> Path:
        """Folder with the artifacts of an input.

        Args:
            role: of the input.

        Raises:
            UserError: if the input has lost artifacts.
        """
        if role not in self._folders:
            try:
                path = fetch(self._client, self._run_ids[role], into=Path(self._downloads.name, role))
            except (MlflowException, OSError):
                if not missing_artifact(self._client, self._run_ids[role]):
                    raise
                raise lost(self._run_ids[role], "the folder") from None
            self._folders[role] = path
        return self._folders[role]

    def checkpoint(self, role: str, stage: str) -> Path:
        """Folder with a model that an input saved with `StepRun.log_checkpoint`.

        Args:
            role: of the input.
            stage: `peak` or `end`.
        """
        run_id = self._run_ids[role]
        experiment = self._client.get_run(run_id).info.experiment_id
        [model] = [
            model
            for model in self._client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
            if model.tags.get(Tag.STAGE) == stage
        ]
        return fetch_uri(self._client, model.artifact_location)

    def cleanup(self) -> None:
        """Delete what was downloaded."""
        self._downloads.cleanup()
