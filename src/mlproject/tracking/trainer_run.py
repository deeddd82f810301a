"""The MLflow run that another trainer has opened: curve points are logged beside the trainer's own metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag

from mlproject.names import Kind, Tag
from mlproject.names.escape import fit_key
from mlproject.options.secrets import mask
from mlproject.tracking.run_data import full_name_tags


class TrainerRun:
    """A run addressed by its id, so that it can be written to after its trainer has closed it.

    Args:
        client: client of the store that has the run.
        run_id: id of the run.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.run_id = run_id
        self._client = client
        self._start = client.get_run(run_id).info.start_time

    @classmethod
    def active(cls) -> TrainerRun | None:
        """The run that is open in this process; None if there is none."""
        run = mlflow.active_run()
        return None if run is None else cls(MlflowClient(), run.info.run_id)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log metrics at once; values that are not finite are left out, since they break MLflow's charts.

        Args:
            metrics: values by name; names that MLflow does not take are escaped.
            step: of the training.
        """
        timestamp = self._start + step  # the same after a crash: logging a value twice changes nothing
        entries = [
            Metric(fit_key(name), float(value), timestamp, step)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        self._client.log_batch(self.run_id, metrics=entries, tags=full_name_tags(metrics))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags at once; names that MLflow does not take are escaped, and so is half a surrogate pair in a value."""
        entries = [RunTag(fit_key(k), mask(v.encode(errors="backslashreplace").decode())) for k, v in tags.items()]
        self._client.log_batch(self.run_id, tags=[*entries, *full_name_tags(tags)])

    def introduce(self, method: str) -> None:
        """Tag the run with its kind, and with what optimizes the policy."""
        self.set_tags({Tag.KIND: Kind.TRAINER_RUN, Tag.METHOD: method})

    def log_artifact(self, path: Path) -> None:
        """Save a file among the run's artifacts."""
        self._client.log_artifact(self.run_id, str(path))
