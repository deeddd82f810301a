"""The run of an invocation, kind `study`: its command line, and the runs of its steps."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric as MlflowMetric
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException

from mlproject.errors import UserError
from mlproject.execution.executors import available_cores
from mlproject.execution.new_executor import new_executor
from mlproject.execution.progress import Progress
from mlproject.execution.scheduler import Scheduler
from mlproject.execution.timeline import summary_line, timeline_of
from mlproject.names import Artifact, Kind, MlflowTag, StudyMetric, Tag
from mlproject.names.quoting import visible
from mlproject.optimization import METHODS, Method
from mlproject.options.secrets import mask
from mlproject.pipeline.step import Step
from mlproject.plotting.png import png
from mlproject.plotting.timeline_figure import timeline_figure
from mlproject.strict_json import strict_json
from mlproject.tracking.descriptions import describe_experiments
from mlproject.tracking.lease import Lease
from mlproject.tracking.liveness import WrittenLease, process_tags
from mlproject.tracking.params import log_params
from mlproject.tracking.patience import announced, without_waiting
from mlproject.tracking.provenance import commit
from mlproject.tracking.store import Store, open_store
from mlproject.tracking.views import BEST_TWO, BEST_TWO_OF_SAMPLES, RUNS_ONE_BY_ONE, SAMPLES, figure_key, view_link

if TYPE_CHECKING:
    from mlproject.cli.parser import Command

LOCAL_UI = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves by default."""

UI_COMMAND = "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --workers 1"
"""Starts MLflow's user interface without what training runs do not need: job runners, and further server processes."""


class Invocation:
    """One command with its store, run and scheduler; as a context manager, it closes the run with a truthful status.

    Under `mlflow run` the run is the one that MLflow opened; otherwise it is created in `<experiment>/studies`.

    Attributes:
        command, config: the parsed command line and its configuration.
        store: where runs are kept.
        run_id: of the invocation run.
        scheduler: executes or reuses its steps.
        progress: display of running steps.
    """

    def __init__(self, command: Command) -> None:
        self.command, config, entry = command, command.config, command.entry_point.name
        self.config = config
        self.store: Store = open_store(config.experiment)
        self.client = self.store.client()
        self.progress = Progress()
        self._since, self._cpu_before = time.time(), time.process_time()
        mlflow_run_id = os.environ.get("MLFLOW_RUN_ID")
        self._owns_run = not mlflow_run_id
        self._lease: Lease | None = None
        tags = {
            Tag.KIND: Kind.STUDY,
            Tag.ENTRY_POINT: entry,
            Tag.COMMAND: mask(_typed(command)),
            **process_tags(),
            **WrittenLease.new(config.lease_seconds).tag(),
        }
        if code := commit():
            tags[Tag.COMMIT] = code
        with announced(entry):
            self.run_id: str = mlflow_run_id or self.client.create_run(self.store.studies, tags=tags).info.run_id
        try:
            with announced(entry):
                self._log_command(tags)
            self._lease = Lease(self.store.client(), self.run_id, config.lease_seconds)
            executor = new_executor(config, self.store, self.progress.say)
            self.scheduler = Scheduler(
                self.store,
                self.run_id,
                executor,
                self.progress,
                config.checkpoint_seconds,
                config.lease_seconds,
                config.stall_seconds,
            )
        except BaseException as error:
            self._close_run(type(error))
            raise

    def _log_command(self, tags: Mapping[str, str]) -> None:
        command, config, entry = self.command, self.config, self.command.entry_point.name
        try:
            logged = self.client.get_run(self.run_id).data.params
        except MlflowException:
            uri = mask(self.store.tracking_uri)
            raise UserError(
                f"MLFLOW_TRACKING_URI={uri}: must be the store of this `mlflow run`, and lacks its run. Give an "
                "absolute path."
            ) from None
        options = {"entry_point": entry, "preset": command.preset, **dataclasses.asdict(config)}
        self.client.update_run(self.run_id, name=f"{entry} {command.preset}, {config.world}, world {config.world_seed}")
        log_params(self.client, self.run_id, {k: v for k, v in options.items() if k not in logged})
        self.client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in tags.items()])

    def __enter__(self) -> Invocation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *rest: object) -> None:
        with without_waiting(error):
            try:
                self.scheduler.close(interrupt=kind is not None)
                self.progress.close()
            except BaseException as another:
                kind = kind or type(another)
                raise
            finally:
                self._close_run(kind)

    def _close_run(self, kind: type[BaseException] | None) -> None:
        """End the run, unless `mlflow run` does it.

        Args:
            kind: of the exception that ended the command.
        """
        if self._lease is not None:
            self._lease.release()
        if not self._owns_run:
            return
        killed = kind is not None and issubclass(kind, KeyboardInterrupt)
        with announced(self.command.entry_point.name):
            self.client.set_terminated(self.run_id, "FINISHED" if kind is None else "KILLED" if killed else "FAILED")
        if kind is not None and issubclass(kind, UserError):
            self.client.delete_run(self.run_id)  # a mistake leaves nothing behind

    def make(self, *steps: Step) -> None:
        """Execute or reuse steps and what they read."""
        self.scheduler.run(steps)

    def run_id_of(self, step: Step) -> str:
        """Run id of a step that was executed or reused."""
        return self.scheduler.outcomes[step].run_id

    def artifact(self, name: str) -> str:
        """Location of an artifact of the invocation run."""
        return f"{self.client.get_run(self.run_id).info.artifact_uri}/{name}".removeprefix("file://")

    @property
    def methods(self) -> list[Method]:
        """Methods whose curves this command knows, in the order in which links are printed; PPO after best-of-n.

        None where it measured a training by a method that is not registered.
        """
        optimized = {step.params["method"] for step in self.scheduler.outcomes if "method" in step.params}
        if optimized <= set(METHODS):
            optimized |= set(self.config.methods)
        methods = [method for name, method in METHODS.items() if name in optimized]
        return sorted(methods, key=lambda method: method.trains_policy)

    def describe(self) -> None:
        """Bring saved views and descriptions of the experiments up to date."""
        describe_experiments(self.client, self.store, self.methods, self.config.registered_model)

    def view(self, key: str) -> str:
        """The address of a saved view."""
        uri = self.store.tracking_uri
        return view_link(mask(uri) if uri.startswith("http") else LOCAL_UI, self.store.policy_runs, key)

    @property
    def curve_links(self) -> list[str]:
        """Lines that say how to open the saved views in the MLflow UI.

        To be read when all steps have an outcome, since these say which methods have a view.
        """
        uri = self.store.tracking_uri
        start = [] if uri.startswith("http") else [f"To see the curves: {UI_COMMAND} --backend-store-uri {mask(uri)}"]
        installed = self.client.get_experiment(self.store.policy_runs).tags
        best_two = {"best two": BEST_TWO, "best two of samples": BEST_TWO_OF_SAMPLES}
        views = {method.label: figure_key(method) for method in self.methods}
        views |= {name: key for name, key in best_two.items() if MlflowTag.SHARED_VIEW_PREFIX + key in installed}
        views |= {"all runs": RUNS_ONE_BY_ONE, "samples": SAMPLES}
        return start + [f"  {name}: {self.view(key)}" for name, key in views.items()]

    def member_rows(self) -> list[dict[str, Any]]:
        """One row per step so far: its run, whether it was reused, and how long it took."""
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

    def timeline(self) -> dict[str, Any]:
        """The timeline of the steps so far, see `timeline_of`."""
        return timeline_of(
            self.scheduler.outcomes,
            self.scheduler.requested_at,
            start=self._since,
            end=time.time(),
            own_cpu_seconds=time.process_time() - self._cpu_before,
            cores=available_cores(),
        )

    def finish(self, files: Mapping[str, Path] | None = None) -> None:
        """Write `steps.json`, the timeline, further artifacts, and metrics of the time that the steps took.

        Args:
            files: further artifacts, by name.
        """
        timeline = self.timeline()
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / Artifact.STEPS).write_text(strict_json(self.member_rows(), indent=1))
            (folder / Artifact.TIMELINE).write_text(strict_json(timeline, indent=1))
            if summary_line(timeline) and Artifact.TIMELINE_FIGURE not in (files or {}):
                (folder / Artifact.TIMELINE_FIGURE).write_bytes(png(timeline_figure(timeline)))
            for name, path in (files or {}).items():
                (folder / name).write_bytes(path.read_bytes())
            self.client.log_artifacts(self.run_id, scratch)
        outcomes = self.scheduler.outcomes.values()
        executed = [outcome for outcome in outcomes if not outcome.reused]
        now = int(time.time() * 1000)
        metrics: dict[str, float] = {
            StudyMetric.SECONDS: time.time() - self._since,
            StudyMetric.CPU_SECONDS: timeline["cpu_seconds"],
            StudyMetric.UTILISATION: timeline["utilisation"],
            StudyMetric.LONGEST_CHAIN: timeline["longest_chain"]["seconds"],
            StudyMetric.STEPS_MADE: len(executed),
            StudyMetric.STEPS_REUSED: len(outcomes) - len(executed),
            StudyMetric.STEP_SECONDS: sum(outcome.seconds for outcome in executed),
            StudyMetric.TRACKING_SECONDS: sum(outcome.tracking_seconds for outcome in executed),
        }
        self.client.log_batch(self.run_id, metrics=[MlflowMetric(k, float(v), now, 0) for k, v in metrics.items()])

    def say_timeline(self) -> None:
        """Print how busy the cores were, and the longest chain of steps, if any was executed."""
        if line := summary_line(self.timeline()):
            self.say(line)

    def say(self, line: str) -> None:
        """Print a result on standard output."""
        print(mask(visible(line)), file=sys.stdout, flush=True)


def _typed(command: Command) -> str:
    """A command line that does the same."""
    options = {name: value for name, value in (command.arguments | command.options).items() if value != ""}
    return shlex.join(["mlproject", command.entry_point.name, *(f"--{k}={v}" for k, v in options.items())])
