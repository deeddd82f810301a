"""The MLflow run that somebody else's trainer has opened: curve points go beside its own metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag

from mlproject.names import Kind, Tag


class TrainerRun:
    """A run by its id, so that it can be written to after its trainer has closed it.

    Args:
        client: of the store that holds it.
        run_id: of the run.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.run_id = run_id
        self._client = client
        self._start = client.get_run(run_id).info.start_time

    @classmethod
    def active(cls) -> TrainerRun | None:
        """The run that is open in this process; None where there is none."""
        run = mlflow.active_run()
        return None if run is None else cls(MlflowClient(), run.info.run_id)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write metrics at once; what is not finite is left out (it would break the charts)."""
        when = self._start + step  # the same again after a crash: writing a value twice changes nothing
        entries = [Metric(name, float(value), when, step) for name, value in metrics.items() if math.isfinite(value)]
        self._client.log_batch(self.run_id, metrics=entries)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Write tags at once."""
        self._client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def introduce(self, method: str) -> None:
        """Say what kind of run this is and what optimizes the policy."""
        self.set_tags({Tag.KIND: Kind.TRAINER_RUN, Tag.METHOD: method})

    def log_artifact(self, path: Path) -> None:
        """Keep a file."""
        self._client.log_artifact(self.run_id, str(path))
