"""A policy run as it is executed: its curve points are logged, monitored, ended where a rule says so, and saved."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from mlproject.curve import Curve, CurvePoint
from mlproject.errors import UserError
from mlproject.laws import Prior
from mlproject.models.collectives import broadcast
from mlproject.monitoring.metrics import point_metrics, summaries
from mlproject.monitoring.monitor import OveroptimizationMonitor
from mlproject.names import (
    Artifact,
    CheckpointMetric,
    Diagnostic,
    Metric,
    MlflowTag,
    Role,
    Split,
    Stage,
    Tag,
    TagPrefix,
)
from mlproject.optimization import FORECAST, KL_BUDGET, METHODS, Method
from mlproject.optimization.peak_forecast import PeakForecast
from mlproject.optimization.stopping import (
    Callback,
    Decide,
    ForecastStop,
    KLBudgetStop,
    StopDecision,
    StopRule,
    decide_alone,
    follow,
)
from mlproject.optimization.task import OptimizationTask
from mlproject.pipeline.curve_state import points_of, points_state
from mlproject.pipeline.loading import open_world
from mlproject.pipeline.reward import usage_metrics
from mlproject.pipeline.run_params import RunParams
from mlproject.pipeline.snapshots import SnapshotRecorder
from mlproject.pipeline.step import Run
from mlproject.pipeline.task import load_task
from mlproject.plotting.curve_figure import PlottedCurve, curve_figure
from mlproject.plotting.png import png
from mlproject.recommendation.run_result import run_result
from mlproject.resume.state import merge
from mlproject.strict_json import strict_json

_DESCRIPTION_DPI = 100
"""MLflow shows pictures of a description as they are, and cuts off what is wider than its page (some 800 pixels)."""


def optimize_policy(run: Run) -> None:
    """Execute a policy run.

    Artifacts: `curve.npz`, `samples.json`; where the method trains a policy, its last state (`model/`, for a next
    round) and checkpoints.
    """
    method = METHODS[run.params["method"]]
    recorder = SnapshotRecorder(open_world(run).prompts(Split.CURVE, run.params["curve_prompts"]))
    task = load_task(run, Split.CURVE)
    saved = run.resumption.restored("curve", task.accelerator)
    drawn = [] if saved is None else points_of(saved.within("points"))
    if saved is not None:
        recorder.restore(saved.within("snapshots"), drawn)
    points: list[CurvePoint] = []
    run.resumption.keep("curve", lambda: merge({"points": points_state(points), "snapshots": recorder.state()}))

    def record(point: CurvePoint) -> None:
        points.append(point)
        if len(points) > len(drawn):
            assert task.evaluator.snapshot is not None, "a point is measured before it is drawn"
            recorder.add(task.evaluator.snapshot)

    agree = partial(broadcast, task.accelerator)
    stream = itertools.chain(drawn, method.optimize(task))  # what was drawn before is logged and judged once more
    draw_curve(run, method, stream, load_prior(run, method), [record], agree, task.peak)
    if task.accelerator.is_main_process:
        save(run, method, task, points, recorder)


def draw_curve(
    run: Run,
    method: Method,
    stream: Iterable[CurvePoint],
    prior: Prior | None = None,
    callbacks: Sequence[Callback] = (),
    agree: Callable[[Decide], StopDecision | None] = decide_alone,
    peak: PeakForecast | None = None,
) -> list[CurvePoint]:
    """Draw the points of a policy run, log each, and end the run where one of its stop rules says so.

    A method that trains a policy is monitored; alarms of the monitor inform, and do not stop a run.

    Args:
        run: takes metrics, and tags that say where and why it was ended before its budget.
        method: whose points these are.
        stream: yields the points.
        prior: what the forecast starts from.
        callbacks: called with every point, after it is logged.
        agree: see `follow`.
        peak: takes in the forecast after every point.

    Returns:
        the points; none in a process that does not decide.
    """
    config = method.config_class.from_params(run.params)
    kl_budget = RunParams.from_params(run.params).kl_budget
    points: list[CurvePoint] = []
    rules: list[StopRule] = []
    monitor: OveroptimizationMonitor | None = None
    if method.trains_policy:
        monitor = OveroptimizationMonitor(
            method.name,
            prior,
            kl_budget=kl_budget,
            samples_per_prompt=config.samples_per_prompt,
            diagnostics=method.name,
        )
        if config.stops_at == FORECAST:
            rules.append(ForecastStop(lambda point: monitor.readings[-1].prediction))
    if kl_budget is not None:
        rules.append(KLBudgetStop(kl_budget))

    def log(point: CurvePoint) -> None:
        points.append(point)
        metrics = monitor.metrics(monitor.update(point)) if monitor else point_metrics(point, method.name)
        if monitor and peak is not None:
            peak.update(points, monitor.readings[-1].prediction)
        run.log_metrics(metrics, step=point.step)

    decision = follow(stream, [*rules, *run.stop_rules], [log, *callbacks], agree)
    if decision is not None:
        run.set_tags(stop_tags(decision))
    return points


def stop_tags(decision: StopDecision) -> dict[str, str]:
    """Tags of a run that was ended before its budget: by its forecast, its KL budget, or the rule of a search."""
    tags = {Tag.COMPLETE: "false"}
    if decision.rule == FORECAST:
        return tags | {Tag.FORECAST_STOPPED_AT: str(decision.step)}
    if decision.rule == KL_BUDGET:
        return tags | {Tag.KL_BUDGET_STOPPED_AT: str(decision.step)}
    evidence = {f"{TagPrefix.VERDICT}{name}": str(value) for name, value in decision.evidence.items()}
    return tags | {Tag.VERDICT: decision.reason, **evidence}


def save(
    run: Run, method: Method, task: OptimizationTask, points: Sequence[CurvePoint], recorder: SnapshotRecorder
) -> None:
    """Save curve, summary metrics, sample table and checkpoints of a policy run."""
    curve = save_curve(run, method, points, recorder)
    earlier = run.input(Role.EARLIER) if RunParams.from_params(run.params).starts_from_earlier else None
    distance = total_distance(curve, points[-1], earlier)
    run.log_metrics({Metric.ROUND_SQRT_KL_SUM: distance, **usage_metrics(task.scorers), **_mismatch(run)})
    (run.folder / Artifact.ROUND_DISTANCE).write_text(strict_json(distance))
    for checkpoint in recorder.checkpoints(task.initial_policy):
        if checkpoint.name == Stage.END:
            checkpoint.save(run.folder / Artifact.MODEL)
        point = checkpoint.point
        metrics = {
            CheckpointMetric.GOLD: point.gold,
            CheckpointMetric.GOLD_SE: point.gold_se,
            CheckpointMetric.PROXY: point.proxy,
            CheckpointMetric.KL: point.kl,
        }
        run.log_checkpoint(checkpoint.name, point.step, metrics, checkpoint.save)


def _mismatch(run: Run) -> dict[str, float]:
    """How the sampler of a pool from elsewhere differs from the policy; nothing where this project sampled it."""
    path = run.input(Role.SAMPLES) / Artifact.POOL_CHECK
    found: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    return {Metric.SAMPLER_KL: found[Metric.SAMPLER_KL]} if found else {}


def save_curve(run: Run, method: Method, points: Sequence[CurvePoint], recorder: SnapshotRecorder) -> Curve:
    """Save curve, summary metrics, figure and sample table."""
    curve = Curve.from_points(points)
    curve.save(run.folder / Artifact.CURVE)
    run.log_metrics(summaries(curve, method.name))
    peak = curve.peak()
    run.log_metrics({Metric.CURVE_PEAK: float(curve.gold_S.max())}, step=peak.step)
    run.set_tags({Tag.LAW_FORM: method.law})
    figure = curve_figure([PlottedCurve(curve, run.tags[MlflowTag.RUN_COLOR])])
    (run.folder / Artifact.CURVE_FIGURE).write_bytes(png(figure, _DESCRIPTION_DPI))
    run.describe(run_result(method.name, curve), Artifact.CURVE_FIGURE)
    run.log_table(recorder.rows(), Artifact.SAMPLES)
    return curve


def load_prior(run: Run, method: Method) -> Prior | None:
    """What curves of other reward models say about the peak; None where the run was given no law run.

    Raises:
        UserError: for a law run that has no such curves.
    """
    p = run.params
    if not method.trains_policy or "forecast_prior" not in p:
        return None
    priors = json.loads((run.input(Role.LAW) / Artifact.PRIORS).read_text()).get(method.name, {})
    if str(p["rm_params"]) not in priors:
        raise UserError(
            f"forecast_prior={p['forecast_prior']}: must hold a prior for {method.name} against an RM of "
            f"{p['rm_params']} parameters. Give the law run of a study that has such curves."
        )
    return Prior.from_dict(priors[str(p["rm_params"])])


def total_distance(curve: Curve, last: CurvePoint, earlier: Path | None) -> float:
    """Sum of the distances of all rounds so far, each from the policy that it started from, square-root nats.

    Args:
        curve: of this round.
        last: point of this round.
        earlier: artifacts of the round before, where this round started from its last policy; otherwise None.
    """
    if earlier is None:
        return float(curve.sqrt_kl_S[-1])
    before: float = json.loads((earlier / Artifact.ROUND_DISTANCE).read_text())
    return before + max(last.diagnostics[Diagnostic.ROUND_KL], 0.0) ** 0.5
