"""What entry points print about their results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from mlproject.curve import Curve
from mlproject.execution.invocation import Invocation
from mlproject.laws import Prediction
from mlproject.monitoring.metrics import logged_prediction
from mlproject.names import Alias, Artifact, Metric, Tag
from mlproject.optimization import BUDGET, FORECAST, KL_BUDGET
from mlproject.pipeline.step import Step
from mlproject.recommendation.doubt import SeedSpread
from mlproject.recommendation.evidence import evidence_on
from mlproject.recommendation.recommend import Evaluated
from mlproject.recommendation.setting import Setting
from mlproject.recommendation.stop import stop_of
from mlproject.recommendation.words import distance
from mlproject.registry.promote import Decision
from mlproject.tracking.run_data import artifact, curve_of

_TRIALS = (Metric.TRIALS_COMPLETE, Metric.TRIALS_PRUNED)


def show_metrics(invocation: Invocation, step: Step, names: Sequence[str]) -> None:
    """Print a step's run and those of the metrics that it has."""
    run_id = invocation.run_id_of(step)
    metrics = invocation.client.get_run(run_id).data.metrics
    invocation.say(f"{step.name}: run {run_id}")
    invocation.say("  " + "  ".join(f"{name} {metrics[name]:.3f}" for name in names if name in metrics))


def show_policy_run(invocation: Invocation, step: Step) -> None:
    """Print a policy run: measured peak, law and forecast with their doubt, and whether and where it was stopped."""
    run_id = invocation.run_id_of(step)
    run, curve = invocation.client.get_run(run_id).data, curve_of(invocation.client, run_id)
    method, seed = run.tags[Tag.METHOD], int(run.params["seed"])
    setting = Setting(method, run.params.get("rm_size", ""), 0, {seed: curve})
    logged = logged_prediction(run.metrics, len(curve), has_prior="forecast_prior" in run.params)
    figures = evidence_on(Evaluated(setting, stop_of(setting, SeedSpread())), {}, {seed: logged} if logged else None)
    invocation.say(f"{step.name}: run {run_id}")
    for figure in figures:
        invocation.say(f"  {figure.sentence()}")
    if Metric.SAMPLER_KL in run.metrics:
        invocation.say(
            f"  sampler of the pool: KL from the policy {run.metrics[Metric.SAMPLER_KL]:.3g} nats per response"
        )
    for line in stop_lines(method, run.params, run.tags, curve, logged):
        invocation.say(f"  {line}")


def show_stops(invocation: Invocation, steps: Sequence[Step]) -> None:
    """Print, for every run that something may end before its budget, whether and where that happened."""
    for step in steps:
        run_id = invocation.run_id_of(step)
        run = invocation.client.get_run(run_id).data
        if run.params.get("stop", BUDGET) != BUDGET:
            curve = curve_of(invocation.client, run_id)
            logged = logged_prediction(run.metrics, len(curve), has_prior="forecast_prior" in run.params)
            for line in stop_lines(run.tags[Tag.METHOD], run.params, run.tags, curve, logged):
                invocation.say(f"{step.name}: {line}")


def stop_lines(
    method: str, params: Mapping[str, str], tags: Mapping[str, str], curve: Curve, forecast: Prediction | None
) -> list[str]:
    """Whether and where the option `stop` ended a run, and why not; nothing for a run that had its budget alone."""
    stop, (*_, last) = params.get("stop", BUDGET), curve
    end = distance(method, last.kl, last.step)
    stopped = {FORECAST: Tag.FORECAST_STOPPED_AT, KL_BUDGET: Tag.KL_BUDGET_STOPPED_AT}
    if stop not in stopped:
        return []
    if stopped[stop] in tags:
        return [f"stop={stop}: ended the run at {end}, before its budget"]
    if stop == FORECAST and forecast is not None and forecast.is_known:
        return [
            f"stop={stop}: did not end the run, which went on to {end}, its budget: the forecast expects gold to be "
            f"highest at {forecast.loses_beyond_kl:.3g} nats"
        ]
    return [f"stop={stop}: did not end the run, which went on to {end}, its budget"]


def show_search(invocation: Invocation, step: Step, with_result: bool = True) -> None:
    """Print what a search did, where its page is, and, unless a study weighs it with more, what it found."""
    run_id = invocation.run_id_of(step)
    run = invocation.client.get_run(run_id)
    counts = {name: run.data.metrics.get(name, 0.0) for name in (*_TRIALS, Metric.TRIALS_REUSED)}
    executed = sum(counts[name] for name in _TRIALS) - counts[Metric.TRIALS_REUSED]
    invocation.say(
        f"{step.name}: {counts[Metric.TRIALS_COMPLETE]:.0f} trials whole, {counts[Metric.TRIALS_PRUNED]:.0f} pruned; "
        f"{executed:.0f} new, {counts[Metric.TRIALS_REUSED]:.0f} reused"
    )
    invocation.say(f"page: {run.info.artifact_uri}/{Artifact.SEARCH_PAGE}".replace("file://", ""))
    artifacts = {each.path for each in invocation.client.list_artifacts(run_id)} if with_result else set()
    if Artifact.RECOMMENDATION in artifacts:  # since 0.2
        recommendation = json.loads(artifact(invocation.client, run_id, Artifact.RECOMMENDATION).read_text())
        invocation.say("among the whole trials of this search alone:")
        for sentence in recommendation["sentences"]:
            invocation.say(sentence)


def show_decision(invocation: Invocation, decision: Decision) -> None:
    """Print what a promotion did or would have done, why it proposed this reward model, and every gate's result."""
    name = invocation.config.registered_model
    version = f"version {decision.version}, " if decision.version else ""
    invocation.say(f"{name}: {version}{decision.candidate.name}: {outcome(name, decision)} (run {decision.run_id})")
    if decision.whose:
        invocation.say(f"  {decision.whose}")
    invocation.say(f"  proposed: {decision.reason}")
    invocation.say("  gates, with 95 % intervals over prompts (val_accuracy: over comparisons), of one run:")
    for gate_result in decision.results:
        invocation.say(f"  {gate_result}")
    if decision.not_answered:
        invocation.say(f"  {decision.not_answered}")


def outcome(name: str, decision: Decision) -> str:
    """What became of the candidate; a rehearsal is told from a move."""
    stays = f"version {decision.champion} stays champion" if decision.champion else "there is no champion"
    passed = "passed all gates" + (" that samples answer" if decision.not_answered else "")
    if decision.dry_run:
        would = ", and would become champion" if decision.candidate.is_model else ", but is a column and no model"
        said = f"{passed}{would}" if decision.passed else "refused"
        if decision.passed and decision.is_champion:
            said = f"{passed}, and is champion already"
        return f"dry run, nothing was changed: {said}; {stays}"
    if not decision.passed:
        return f"refused; {stays}"
    if not decision.is_champion:
        return f"{passed}, but is not champion; {stays}"
    if not decision.previous:
        return f"{passed} and is champion, {name}@{Alias.CHAMPION}"
    return f"{passed} and is champion, in place of version {decision.previous}"


def show_curve_links(invocation: Invocation) -> None:
    """Print how to open the figures in the MLflow UI, whose views and descriptions are brought up to date."""
    invocation.describe()
    for line in invocation.curve_links:
        invocation.say(line)
