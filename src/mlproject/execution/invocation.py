"""The run of an invocation, kind `study`: what was asked for, and the runs that answered it."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric as MlflowMetric
from mlflow.entities import Param, RunTag
from mlflow.exceptions import MlflowException

from mlproject.errors import UserError
from mlproject.execution.progress import Progress
from mlproject.execution.scheduler import Scheduler
from mlproject.names import Artifact, Kind, Metric, Tag
from mlproject.pipeline.step import Step
from mlproject.tracking.liveness import process_tags
from mlproject.tracking.runs import BATCH_PARAMS, as_text
from mlproject.tracking.store import Store, hide_password, open_store
from mlproject.tracking.views import FIGURE_BEST_OF_N, FIGURE_PPO, install_views, view_link

if TYPE_CHECKING:
    from mlproject.cli.parser import Command

LOCAL_UI = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves by default."""


class Invocation:
    """Opens the store, an invocation run and a scheduler; closes them whatever happens.

    Under `mlflow run` the run is the one that MLflow opened; otherwise it is made in `<experiment>/studies`.

    Attributes:
        command, config: the parsed command line and its configuration.
        store: where runs are kept.
        run_id: of the invocation run.
        scheduler: carries out steps on its behalf.
        progress: the display.
    """

    def __init__(self, command: Command) -> None:
        self.command, config, entry = command, command.config, command.entry_point.name
        self.config = config
        self.store: Store = open_store(config.experiment)
        self.client = self.store.client()
        self.progress = Progress()
        self._since = time.perf_counter()
        given = os.environ.get("MLFLOW_RUN_ID")
        self._is_mine = not given
        self.run_id: str = given or self.client.create_run(self.store.studies, run_name=entry).info.run_id
        try:
            known = self.client.get_run(self.run_id).data.params
        except MlflowException:
            uri = hide_password(self.store.tracking_uri)
            raise UserError(
                f"MLFLOW_TRACKING_URI={uri}: lacks the run of this `mlflow run`; give an absolute path"
            ) from None
        asked = {"entry_point": entry, "preset": command.preset, **dataclasses.asdict(config)}
        asked["storage"] = hide_password(config.storage)
        params = [Param(k, as_text(v)) for k, v in asked.items() if k not in known]
        tags = {Tag.KIND: Kind.STUDY, Tag.ENTRY_POINT: entry, **process_tags()}
        for start in range(0, len(params), BATCH_PARAMS):
            self.client.log_batch(self.run_id, params=params[start : start + BATCH_PARAMS])
        self.client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in tags.items()])
        self.scheduler = Scheduler(self.store, self.run_id, config.workers, self.progress)

    def __enter__(self) -> Invocation:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.scheduler.__exit__(kind, *rest)
        self.progress.close()
        if self._is_mine and kind is not None and issubclass(kind, UserError):
            self.client.delete_run(self.run_id)  # a mistake leaves nothing behind
        elif self._is_mine:
            status = "FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED"
            self.client.set_terminated(self.run_id, status)

    def make(self, *steps: Step) -> None:
        """Make steps and what they read, or find them made."""
        self.scheduler.run(steps)

    def run_id_of(self, step: Step) -> str:
        """Run of a step that was made or found."""
        return self.scheduler.outcomes[step].run_id

    def artifact(self, name: str) -> str:
        """Where an artifact of the invocation run is."""
        return f"{self.client.get_run(self.run_id).info.artifact_uri}/{name}".removeprefix("file://")

    def curve_links(self) -> list[str]:
        """Install the saved views, and say how to open the paper's figures in the MLflow UI."""
        uri = self.store.tracking_uri
        install_views(self.client, self.store.policy_runs)
        lines = []
        if not uri.startswith("http"):
            lines.append(f"to look at the curves: mlflow ui --backend-store-uri {hide_password(uri)}")
            uri = LOCAL_UI
        for key in (FIGURE_BEST_OF_N, FIGURE_PPO):
            lines.append(view_link(uri, self.store.policy_runs, key))
        return lines

    def member_rows(self) -> list[dict[str, Any]]:
        """One row per step so far: which run, reused or made, how long."""
        return [
            {
                "step": step.name,
                "kind": step.kind,
                "run_id": outcome.run_id,
                "reused": outcome.reused,
                "seconds": round(outcome.seconds, 2),
                "tracking_seconds": round(outcome.tracking_seconds, 3),
            }
            for step, outcome in self.scheduler.outcomes.items()
        ]

    def finish(self, files: Mapping[str, Path] | None = None) -> None:
        """Write `steps.json`, further artifacts and the time that all took.

        Args:
            files: artifacts by name.
        """
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / Artifact.STEPS).write_text(json.dumps(self.member_rows(), indent=1))
            for name, path in (files or {}).items():
                (folder / name).write_bytes(path.read_bytes())
            self.client.log_artifacts(self.run_id, scratch)
        members = self.scheduler.outcomes
        made = [outcome for outcome in members.values() if not outcome.reused]
        now = int(time.time() * 1000)
        figures: dict[str, float] = {
            Metric.STUDY_SECONDS: time.perf_counter() - self._since,
            Metric.STUDY_STEPS_MADE: len(made),
            Metric.STUDY_STEPS_REUSED: len(members) - len(made),
            Metric.STUDY_STEP_SECONDS: sum(outcome.seconds for outcome in made),
            Metric.STUDY_TRACKING_SECONDS: sum(outcome.tracking_seconds for outcome in made),
        }
        self.client.log_batch(self.run_id, metrics=[MlflowMetric(k, float(v), now, 0) for k, v in figures.items()])

    def say(self, line: str) -> None:
        """A result, on standard output."""
        print(line, file=sys.stdout, flush=True)
