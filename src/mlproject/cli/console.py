"""What entry points print about their results."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mlproject.execution.invocation import Invocation
from mlproject.names import Artifact, Metric, Tag
from mlproject.pipeline.step import Step
from mlproject.registry.promote import Decision
from mlproject.tracking.run_data import artifact

_TRIALS = (Metric.TRIALS_COMPLETE, Metric.TRIALS_PRUNED)


def show_metrics(invocation: Invocation, step: Step, names: Sequence[str]) -> None:
    """Print a step's run and those of the metrics that it has."""
    run_id = invocation.run_id_of(step)
    metrics = invocation.client.get_run(run_id).data.metrics
    invocation.say(f"{step.name}: run {run_id}")
    invocation.say("  " + "  ".join(f"{name} {metrics[name]:.3f}" for name in names if name in metrics))


def show_forecast(invocation: Invocation, step: Step) -> None:
    """Print the last forecast of a policy run, and where it ended the run."""
    run = invocation.client.get_run(invocation.run_id_of(step)).data
    if Metric.FORECAST_P_PAST_PEAK not in run.metrics:
        return
    metrics = run.metrics
    invocation.say(
        f"  forecast: peak {metrics[Metric.FORECAST_PEAK_GOLD]:.2f} at {metrics[Metric.FORECAST_PEAK_KL]:.2g} nats, "
        f"P(past peak) = {metrics[Metric.FORECAST_P_PAST_PEAK]:.2f}, from "
        f"{metrics[Metric.FORECAST_GOLD_RESPONSES]:.0f} gold-scored responses"
    )
    if Tag.FORECAST_STOPPED_AT in run.tags:
        invocation.say(f"  stopped there, at update {run.tags[Tag.FORECAST_STOPPED_AT]}")


def show_search(invocation: Invocation, step: Step) -> None:
    """Print what a search did, where its page is, and what it found."""
    run_id = invocation.run_id_of(step)
    run = invocation.client.get_run(run_id)
    counts = {name: run.data.metrics.get(name, 0.0) for name in (*_TRIALS, Metric.TRIALS_REUSED)}
    executed = sum(counts[name] for name in _TRIALS) - counts[Metric.TRIALS_REUSED]
    invocation.say(
        f"{step.name}: {counts[Metric.TRIALS_COMPLETE]:.0f} trials whole, {counts[Metric.TRIALS_PRUNED]:.0f} pruned; "
        f"{executed:.0f} executed, {counts[Metric.TRIALS_REUSED]:.0f} reused"
    )
    invocation.say(f"page: {run.info.artifact_uri}/{Artifact.SEARCH_PAGE}".replace("file://", ""))
    if any(each.path == Artifact.RECOMMENDATION for each in invocation.client.list_artifacts(run_id)):  # since 0.2
        recommendation = json.loads(artifact(invocation.client, run_id, Artifact.RECOMMENDATION).read_text())
        for sentence in recommendation["sentences"]:
            invocation.say(sentence)


def show_decision(invocation: Invocation, decision: Decision) -> None:
    """Print the result of a promotion, and that of every gate."""
    name = invocation.config.registered_model
    version = f"version {decision.version}, " if decision.version else ""
    result = "is champion" if decision.is_champion else "passed all gates" if decision.passed else "refused"
    invocation.say(f"{name}: {version}{decision.candidate.name}: {result} (run {decision.run_id})")
    for gate_result in decision.results:
        invocation.say(f"  {gate_result}")


def show_curve_links(invocation: Invocation) -> None:
    """Print how to open the figures in the MLflow UI, whose views and descriptions are brought up to date."""
    invocation.describe()
    for line in invocation.curve_links:
        invocation.say(line)
