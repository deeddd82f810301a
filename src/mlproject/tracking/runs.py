"""A step's MLflow run: found again by fingerprint, opened or taken up, filled, and closed with a truthful status."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from mlproject.curve import Curve
from mlproject.errors import UserError, first_line
from mlproject.names import Artifact, Kind, MlflowTag, Role, Tag, TagPrefix
from mlproject.optimization.stopping import StopRule
from mlproject.pipeline.step import Step, fingerprint
from mlproject.tracking.inputs import InputArtifacts
from mlproject.tracking.liveness import process_tags
from mlproject.tracking.store import Store, all_runs
from mlproject.tracking.views import run_color

_FLUSH_SECONDS = 2.0
BATCH_METRICS, BATCH_PARAMS = 1000, 100


def artifact(client: MlflowClient, run_id: str, name: str) -> Path:
    """A file or folder among the artifacts of a run; downloaded where the store is remote."""
    path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=name, tracking_uri=client.tracking_uri)
    return Path(path)


def curve_of(client: MlflowClient, run_id: str) -> Curve:
    """The curve of a policy run."""
    return Curve.load(artifact(client, run_id, Artifact.CURVE))


def values_by_step(client: MlflowClient, run_id: str, name: str) -> Mapping[int, float]:
    """A metric of a run at every step that has one."""
    return {metric.step: metric.value for metric in client.get_metric_history(run_id, name)}


def resolve_law(client: MlflowClient, store: Store, given: str) -> Run:
    """A finished run of kind `law`, by run id or `latest`.

    Raises:
        UserError: where there is none.
    """
    if given == "latest":
        laws = all_runs(client, [store.studies], f"attributes.status = 'FINISHED' and tags.`{Tag.KIND}` = '{Kind.LAW}'")
        if not laws:
            raise UserError("forecast_prior=latest: no finished law run in this store; run `main` first")
        return laws[0]
    try:
        run = client.get_run(given)
    except MlflowException as error:
        reason = first_line(error)
        raise UserError(f"forecast_prior={given}: not found ({reason}); give the run id of a law run") from None
    if run.data.tags.get(Tag.KIND) != Kind.LAW or run.info.status != "FINISHED":
        kind = run.data.tags.get(Tag.KIND) or "foreign"
        raise UserError(f"forecast_prior={given}: is a {kind} run, {run.info.status}; give a finished law run")
    return run


class StepRun:
    """The run that a step's work fills (see `mlproject.pipeline.step.Run`).

    Metrics are gathered and written in batches, each with a timestamp derived from the run and the step: writing the
    same value again after a crash changes nothing.

    Args:
        store: where.
        step: what.
        inputs: run ids of the step's inputs, by role.
        made_by: run id of the study or search that asked for it.
        resume_run_id: id of a cut-off run of the same step, to be filled anew; None opens a new one.
        on_progress: told the finished share.
        stop_rule: may end the run before its budget; asked after every curve point.

    Attributes:
        client, inputs: for work that deals with the tracking server itself (search, registry).
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
    ) -> None:
        self.params, self.execution_options, self.progress = step.params, step.execution_options, on_progress
        self.tracking_seconds = 0.0
        self.client, self.inputs = store.client(), dict(inputs)
        self._step = step
        self.stop_rules: Sequence[StopRule] = () if stop_rule is None else (stop_rule,)
        self._metrics: list[Metric] = []
        self._scratch = tempfile.TemporaryDirectory(prefix="mlproject-")
        self.folder = Path(self._scratch.name)
        self._folders = InputArtifacts(self.client, self.inputs)
        self._flushed = time.monotonic()
        tags = {
            Tag.KIND: step.kind,
            Tag.FINGERPRINT: step.fingerprint,
            Tag.MADE_BY: made_by,
            Tag.INPUTS: json.dumps(self.inputs),
            **({Tag.PROXY_RUN_ID: inputs[Role.PROXY_RM]} if Role.PROXY_RM in inputs else {}),
            **(
                {MlflowTag.RUN_COLOR: run_color(step.inherited_params["rm_size"])}
                if step.kind == Kind.POLICY_RUN
                else {}
            ),
            **step.tags,
            **{f"{TagPrefix.HOW}{name}": str(value) for name, value in step.execution_options.items()},
            **process_tags(),
        }
        with self._timed():
            if resume_run_id is None:
                run = self.client.create_run(store.experiment_of(step.kind), tags=tags, run_name=step.name)
            else:
                self._forget_checkpoints(store.experiment_of(step.kind), resume_run_id)
                self.client.update_run(resume_run_id, status="RUNNING")
                run = self.client.get_run(resume_run_id)
                self.client.log_batch(resume_run_id, tags=[RunTag(k, v) for k, v in tags.items()])
            self.run_id, self._start = run.info.run_id, run.info.start_time
            self._experiment = run.info.experiment_id
            self.log_params({**step.inherited_params, **step.params})

    def input(self, role: str) -> Path:
        """Folder with the artifacts of an input, downloaded once where the store is remote."""
        with self._timed():
            return self._folders.folder(role)

    def log_params(self, params: Mapping[str, Any]) -> None:
        with self._timed():
            entries = [Param(name, as_text(value)) for name, value in params.items()]
            for start in range(0, len(entries), BATCH_PARAMS):
                self.client.log_batch(self.run_id, params=entries[start : start + BATCH_PARAMS])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Gather metrics; what is not finite is left out (it would break the charts)."""
        when = self._start + int(step)
        self._metrics += [Metric(k, float(v), when, int(step)) for k, v in metrics.items() if math.isfinite(v)]
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._flush()

    def set_tags(self, tags: Mapping[str, str]) -> None:
        with self._timed():
            self.client.log_batch(self.run_id, tags=[RunTag(k, str(v)) for k, v in tags.items()])

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """Write a table whole, in the form that MLflow's table view reads (its own `log_table` would append)."""
        columns = list(rows[0])
        table = {"columns": columns, "data": [[row[column] for column in columns] for row in rows]}
        (self.folder / name).write_text(json.dumps(table))
        self.set_tags({MlflowTag.LOGGED_ARTIFACTS: json.dumps([{"path": name, "type": "table"}])})

    def log_checkpoint(self, name: str, step: int, metrics: Mapping[str, float], save: Callable[[Path], None]) -> None:
        """Keep a model as an MLflow LoggedModel with its scores on the prompts named `curve`."""
        with self._timed():
            model = self.client.create_logged_model(
                self._experiment,
                name=f"{self._step.params['method']}-{name}",
                source_run_id=self.run_id,
                tags={Tag.KIND: Kind.CHECKPOINT, Tag.STAGE: name},
                params={"step": str(step)},
            )
            with tempfile.TemporaryDirectory() as folder:
                save(Path(folder))
                self.client.log_model_artifacts(model.model_id, folder)
            prompts = {k: v for k, v in self.params.items() if k in ("world", "world_seed", "curve_prompts")}
            about = {
                "model_id": model.model_id,
                "dataset_name": "curve",
                "dataset_digest": fingerprint(prompts)[:8],
            }
            when = self._start + int(step)
            scores = [Metric(k, float(v), when, int(step), run_id=self.run_id, **about) for k, v in metrics.items()]
            self.client.log_batch(self.run_id, metrics=scores)
            self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)

    def checkpoint(self, role: str, name: str) -> Path:
        """Folder with a model that an input kept by `log_checkpoint`."""
        with self._timed():
            return self._folders.checkpoint(role, name)

    def publish(self) -> None:
        """Write everything to the tracking server now, artifacts included."""
        with self._timed():
            self.client.log_artifacts(self.run_id, str(self.folder))
        self._flush()

    def close(self, status: str) -> None:
        """Write what is left; artifacts are uploaded for a finished run only."""
        if status == "FINISHED":
            self.publish()
        self._flush()
        self.client.set_terminated(self.run_id, status)
        self._scratch.cleanup()
        self._folders.cleanup()

    def discard(self, delete: bool) -> None:
        """Leave the step to another process; a run that was opened for nothing is deleted."""
        if delete:
            self.client.delete_run(self.run_id)
        self._scratch.cleanup()
        self._folders.cleanup()

    def _flush(self) -> None:
        with self._timed():
            for start in range(0, len(self._metrics), BATCH_METRICS):
                self.client.log_batch(self.run_id, metrics=self._metrics[start : start + BATCH_METRICS])
        self._metrics.clear()
        self._flushed = time.monotonic()

    def _forget_checkpoints(self, experiment: str, run_id: str) -> None:
        for model in self.client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
            self.client.delete_logged_model(model.model_id)

    def _timed(self) -> _Stopwatch:
        return _Stopwatch(self)


class _Stopwatch:
    """Adds the time spent inside to the run's account of tracking."""

    def __init__(self, run: StepRun) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._run.tracking_seconds += time.perf_counter() - self._since


def execute(run: StepRun, work: Callable[[StepRun], None]) -> None:
    """Do a step's work in its run; whatever happens, the run ends with a status that says so."""
    try:
        work(run)
        run.close("FINISHED")
    except KeyboardInterrupt:
        run.close("KILLED")
        raise
    except BaseException:
        run.close("FAILED")
        raise


def as_text(value: Any) -> str:
    """A parameter's value as MLflow keeps it."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
