"""The MLflow run of a step: opened or resumed, filled, and closed with the status that it deserves."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlflow.entities import LoggedModelStatus, Metric, RunTag

from mlproject.names import Artifact, Kind, MlflowTag, Role, Split, Tag, TagPrefix
from mlproject.names import Metric as MetricName
from mlproject.names.escape import fit_key
from mlproject.optimization.stopping import StopRule
from mlproject.options.secrets import mask
from mlproject.pipeline.step import Step, fingerprint
from mlproject.strict_json import strict_json
from mlproject.tracking.artifact_files import local_path, log_folder, share_files
from mlproject.tracking.descriptions import describe_policy_run
from mlproject.tracking.inputs import InputArtifacts
from mlproject.tracking.kept_artifacts import artifact_tags
from mlproject.tracking.lease import TERM_SECONDS, Lease
from mlproject.tracking.liveness import WrittenLease, process_tags
from mlproject.tracking.params import log_params
from mlproject.tracking.patience import announced
from mlproject.tracking.states import resumption_of, scores_folder
from mlproject.tracking.store import Store

_FLUSH_SECONDS = 2.0
"""Longest time that a metric waits for the next batch."""

_BATCH = 1000
"""Metrics that MLflow takes at a time."""


class StepRun:
    """The run that the function of a step fills (see `mlproject.pipeline.step.Run`).

    Metrics are collected and logged in batches, each with a timestamp derived from run and step, so that logging a
    value again after a crash changes nothing.

    Args:
        store: where the run is, or will be.
        step: what is executed.
        inputs: run id of every input by its role.
        made_by: run id of the study or search that asked for the step.
        resume_run_id: an interrupted run of the same step, to be filled anew; None opens a new run.
        on_progress: called with the share that is finished.
        stop_rule, checkpoint_seconds, lease_seconds: see `Assignment`.

    Attributes:
        run_id: of the run.
        client, inputs: for steps that use the tracking server themselves (search, registry).
        opened_at: when it was opened or resumed, seconds since the epoch.
        share, moved_at: finished so far, 0 to 1, and when the step was last seen to go on, by `time.monotonic`.
        tracking_seconds: time spent on the tracking server so far.
    """

    def __init__(
        self,
        store: Store,
        step: Step,
        inputs: Mapping[str, str],
        *,
        made_by: str,
        resume_run_id: str | None = None,
        on_progress: Callable[[float], None] = lambda share: None,
        stop_rule: StopRule | None = None,
        checkpoint_seconds: float = 0.0,
        lease_seconds: float = TERM_SECONDS,
    ) -> None:
        self._step, self._on_progress, self.share = step, on_progress, 0.0
        self._last_flush = self.moved_at = time.monotonic()
        self.params, self.tags, self.execution_options = step.params, step.tags, step.execution_options
        self.cache: Path | None = scores_folder(store)
        self.opened_at, self.tracking_seconds, self.client = time.time(), 0.0, store.client()
        self.inputs, self._scratch = dict(inputs), tempfile.TemporaryDirectory(prefix="mlproject-")
        self.stop_rules: Sequence[StopRule] = () if stop_rule is None else (stop_rule,)
        self._metrics: list[Metric] = []
        self._checkpoints: list[Path] = []
        self.folder = Path(self._scratch.name)
        self._input_artifacts = InputArtifacts(self.client, self.inputs)
        tags = {
            Tag.KIND: step.kind,
            Tag.FINGERPRINT: step.fingerprint,
            Tag.MADE_BY: made_by,
            Tag.INPUTS: strict_json(self.inputs),
            **({Tag.PROXY_RUN_ID: inputs[Role.PROXY_RM]} if Role.PROXY_RM in inputs else {}),
            **step.tags,
            **{f"{TagPrefix.HOW}{name}": str(value) for name, value in step.execution_options.items()},
            **process_tags(),
            **WrittenLease.new(lease_seconds).tag(),
        }
        self._lease: Lease | None = None
        with self._timed():
            experiment = store.experiment_of(step.kind)
            if resume_run_id is None:
                run = self.client.create_run(experiment, tags=tags, run_name=mask(step.name))
            else:  # tags first: who held the run before must not find itself as the holder of a running one
                self.client.log_batch(resume_run_id, tags=[RunTag(k, v) for k, v in tags.items()])
                for model in self.client.search_logged_models([experiment], f"source_run_id = '{resume_run_id}'"):
                    self.client.delete_logged_model(model.model_id)
                self.client.update_run(resume_run_id, status="RUNNING")
                run = self.client.get_run(resume_run_id)
            self.run_id, self._start = run.info.run_id, run.info.start_time
            self._experiment, self._artifacts = run.info.experiment_id, run.info.artifact_uri
        self._lease = Lease(store.client(), self.run_id, lease_seconds)
        self.resumption = resumption_of(store, run.info, step.fingerprint, checkpoint_seconds, self._check)
        try:
            params = {**step.inherited_params, **step.params}
            self.log_params(params)
            if step.kind == Kind.POLICY_RUN and (rm_params := int(params["rm_params"])):  # 0: not known
                self.log_metrics({MetricName.RM_PARAMS: rm_params})
        except BaseException as error:
            self.close("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise

    def progress(self, share: float) -> None:
        """Say which share of the step is finished, 0 to 1."""
        self.share = share
        self._check()
        self._on_progress(share)

    def input(self, role: str) -> Path:
        """Folder with the artifacts of an input; downloaded once if the store is remote."""
        with self._timed():
            return self._input_artifacts.folder(role)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log params at once, as texts."""
        with self._timed():
            log_params(self.client, self.run_id, params)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Add metrics to the next batch; values that are not finite are left out, since they break MLflow's charts."""
        timestamp = self._start + int(step)
        self._metrics += [
            Metric(fit_key(k), float(v), timestamp, int(step)) for k, v in metrics.items() if math.isfinite(v)
        ]
        if time.monotonic() - self._last_flush > _FLUSH_SECONDS:
            self._flush()

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags at once."""
        with self._timed():
            self.client.log_batch(self.run_id, tags=[RunTag(fit_key(k), mask(str(v))) for k, v in tags.items()])

    def describe(self, result: str, figure: str) -> None:
        """Say what came of a policy run, where the tracking UI shows it.

        Args:
            result: one sentence.
            figure: artifact with its curve.
        """
        self.set_tags({MlflowTag.NOTE: describe_policy_run(self._experiment, self.run_id, result, figure)})

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """Save rows as a table artifact in the form that MLflow's table view reads.

        Unlike MLflow's own `log_table` it replaces a table of the same name, so that resuming a run doubles no row.

        Args:
            rows: at least one; all with the same columns.
            name: of the artifact, `*.json`.
        """
        columns = list(rows[0])
        table = {"columns": columns, "data": [[row[column] for column in columns] for row in rows]}
        (self.folder / name).write_text(strict_json(table))
        self.set_tags({MlflowTag.LOGGED_ARTIFACTS: strict_json([{"path": name, "type": "table"}])})

    def log_checkpoint(self, stage: str, step: int, metrics: Mapping[str, float], save: Callable[[Path], None]) -> None:
        """Save a model as an MLflow LoggedModel, with its scores on the `curve` prompts.

        Args:
            stage: `peak` or `end`.
            step: of the curve point.
            metrics: scores by name.
            save: writes the model into a folder.
        """
        with self._timed():
            model = self.client.create_logged_model(
                self._experiment,
                name=f"{self._step.params['method']}-{stage}",
                source_run_id=self.run_id,
                tags={Tag.KIND: Kind.CHECKPOINT, Tag.STAGE: stage},
                params={"step": str(step)},
            )
            with tempfile.TemporaryDirectory() as folder:
                save(Path(folder))
                self.client.log_model_artifacts(model.model_id, folder)
            if (saved := local_path(model.artifact_location)) is not None:
                for earlier in self._checkpoints:  # a policy that ends at its peak is there twice
                    share_files(saved, earlier)
                self._checkpoints.append(saved)
            prompts = {k: v for k, v in self.params.items() if k in ("world", "world_seed", "curve_prompts")}
            entries = [
                Metric(
                    name,
                    float(value),
                    self._start + int(step),
                    int(step),
                    model_id=model.model_id,
                    dataset_name=Split.CURVE,
                    dataset_digest=fingerprint(prompts)[:8],
                    run_id=self.run_id,
                )
                for name, value in metrics.items()
                if math.isfinite(value)
            ]
            self.client.log_batch(self.run_id, metrics=entries)
            self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)

    def checkpoint(self, role: str, stage: str) -> Path:
        """Folder with a model that an input saved with `log_checkpoint`."""
        with self._timed():
            return self._input_artifacts.checkpoint(role, stage)

    def publish(self) -> None:
        """Upload the artifacts and log all metrics now."""
        with self._timed():
            log_folder(self.client, self.run_id, self.folder)
            if (logged := local_path(self._artifacts)) is not None:
                for saved in self._checkpoints:  # one of them is the run's own model
                    share_files(logged / Artifact.MODEL, saved)
            self.set_tags(artifact_tags(self.folder))
        self._flush()

    def close(self, status: str) -> None:
        """Log the remaining metrics and end the run.

        Args:
            status: `FINISHED`, which uploads the artifacts first, `FAILED` or `KILLED`.

        Raises:
            LeaseLostError: where the run is another process's now; nothing is written then.
        """
        if self.is_lost():
            self._clean_up()
            if status == "FINISHED":
                self._check()
            return
        if status == "FINISHED":
            self.publish()
        else:
            with suppress(Exception):  # what made the step fail may make this fail too; the run ends all the same
                self._flush()
        try:
            self.client.set_terminated(self.run_id, status)
            if status == "FINISHED":
                self.resumption.remove()
        finally:
            self._clean_up()

    def discard(self, delete: bool) -> None:
        """Leave the step to another process.

        Args:
            delete: whether to delete the run, which was opened for nothing.
        """
        if delete:
            self.client.delete_run(self.run_id)
        self._clean_up()

    def is_lost(self) -> bool:
        """Whether another process has taken up the run."""
        return self._lease is not None and self._lease.is_lost()

    def _check(self) -> None:
        self.moved_at = time.monotonic()  # whoever is about to write goes on
        if self._lease is not None:
            self._lease.check()

    def _clean_up(self) -> None:
        if self._lease is not None:
            self._lease.release()
        self.resumption.close()
        self._scratch.cleanup()
        self._input_artifacts.cleanup()

    def _flush(self) -> None:
        with self._timed():
            for start in range(0, len(self._metrics), _BATCH):
                self.client.log_batch(self.run_id, metrics=self._metrics[start : start + _BATCH])
        self._metrics.clear()
        self._last_flush = time.monotonic()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Add the time of the block to `tracking_seconds`."""
        self._check()
        since = time.perf_counter()
        try:
            with announced(self._step.name):
                yield
        finally:
            self.tracking_seconds += time.perf_counter() - since
