"""States that are kept among the artifacts of their run too, where these lie elsewhere, so that any machine goes on."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from mlproject.names import Artifact
from mlproject.resume.state import State
from mlproject.resume.state_folder import StateFolder
from mlproject.tracking.artifact_files import download

_LEAST_SECONDS = 300.0
"""Time between two uploads at least; it is more where an upload takes more than a hundredth of it."""

_SHARE = 0.01


class UploadedStates(StateFolder):
    """A folder of states with a copy among the artifacts of a run.

    What cannot be uploaded, or taken from there, is left: the states of this machine are enough for this machine.

    Args:
        path, owner: of the folder on this machine.
        artifacts: URI of the run's artifacts.
        tracking_uri: of the store.
        seconds: time between two uploads at least.
    """

    def __init__(
        self, path: Path, owner: str, artifacts: str, tracking_uri: str, seconds: float = _LEAST_SECONDS
    ) -> None:
        super().__init__(path, owner)
        self._repository = get_artifact_repository(artifacts, tracking_uri)
        self._seconds, self._upload_at = seconds, time.monotonic() + seconds
        self._is_fetched = False

    def read(self, name: str) -> State | None:
        """The newest whole state of a name, of this machine or another."""
        if not self._is_fetched:
            self._is_fetched = True
            with suppress(Exception):
                self._fetch()
        return super().read(name)

    def settle(self, is_ending: bool = False) -> None:
        """Upload the states if it is time, or if this process ends."""
        super().settle(is_ending)
        if time.monotonic() < self._upload_at and not is_ending:
            return
        begun = time.monotonic()
        with suppress(Exception):
            self._upload()
        took = time.monotonic() - begun
        self._upload_at = time.monotonic() + max(self._seconds, took / _SHARE)

    def remove(self) -> None:
        """Remove all states, here and among the artifacts."""
        super().remove()
        with suppress(Exception):
            if self._uploaded():
                self._repository.delete_artifacts(Artifact.STATES)

    def _uploaded(self) -> set[str]:
        return {Path(each.path).name for each in self._repository.list_artifacts(Artifact.STATES)}

    def _fetch(self) -> None:
        missing = sorted(
            name for name in self._uploaded() - {path.name for path in self.files()} if self.is_state(name)
        )
        if not missing:
            return
        self.make()
        with tempfile.TemporaryDirectory(dir=self.path) as folder:  # on the same disk
            for name in missing:
                download(self._repository, f"{Artifact.STATES}/{name}", Path(folder)).replace(self.path / name)

    def _upload(self) -> None:
        """What runs last, since it builds on the rest; then what is no longer here is removed there."""
        uploaded, here = self._uploaded(), {path.name: path for path in self.files()}
        for name in sorted(here.keys() - uploaded, key=lambda name: (name.startswith("running"), name)):
            self._repository.log_artifact(str(here[name]), Artifact.STATES)
        for name in uploaded - here.keys():
            self._repository.delete_artifacts(f"{Artifact.STATES}/{name}")
