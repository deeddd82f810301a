"""What each entry point does, readable from top to bottom."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlproject.cli.parser import Command
from mlproject.errors import RefusedError, UserError
from mlproject.execution.invocation import Invocation
from mlproject.experiments.findings.page import write_page
from mlproject.experiments.run import run_experiment
from mlproject.experiments.spec import experiment_names, load_experiment, plan_cells
from mlproject.models.sizes import SIZES, is_checkpoint
from mlproject.names import Alias, Artifact, Metric, MetricPrefix, Tag
from mlproject.optimization import METHODS
from mlproject.pipeline.step import RunRef, Step
from mlproject.pipeline.study import plan_curve, plan_proxy, plan_roots, plan_study
from mlproject.registry.candidates import EvaluationContext, evaluation_context, evaluation_context_of_proxy
from mlproject.registry.gates import read_gates
from mlproject.registry.history import history as moves_of
from mlproject.registry.kl_budget import KLBudget, KLBudgetWarning, kl_budget_of
from mlproject.registry.promote import Decision
from mlproject.registry.promote import promote as run_promotion
from mlproject.registry.rollback import rollback as run_rollback
from mlproject.registry.versions import resolve_proxy
from mlproject.report.fit import FitRequest, fit_curve
from mlproject.report.study_report import report_of_run, write_report
from mlproject.search.search import run_search, run_search_worker
from mlproject.search.storage import open_storage
from mlproject.tracking.runs import curve_of, resolve_law

if TYPE_CHECKING:
    from mlflow.entities import Run


def main(command: Command) -> None:
    """A whole study: every curve, the laws, the search, the promotion, the report."""
    gates = read_gates()
    with Invocation(command) as invocation:
        if invocation.config.n_trials:
            open_storage(invocation.config, invocation.store)
        plan, context = plan_study(invocation.config), evaluation_context(invocation.config)
        is_promoting = gates.method in invocation.config.methods
        invocation.make(*plan.steps, *([context.audit_pool] if is_promoting else []))
        if invocation.config.n_trials:
            run_search(invocation, plan)
        if is_promoting:
            _show_decision(invocation, run_promotion(invocation, gates, context))
        else:
            invocation.say(f"no promotion: its gates judge {gates.method}, and methods lacks that")
        write_report(invocation)
        _show_curves(invocation)


def proxy(command: Command) -> None:
    """One proxy RM, with what it stands on."""
    with Invocation(command) as invocation:
        config = invocation.config
        wanted = plan_proxy(config, plan_roots(config), config.rm_size, config.seed)
        invocation.make(wanted)
        invocation.finish()
        _show_metrics(invocation, wanted, (Metric.RM_VAL_ACCURACY, Metric.RM_VAL_LOSS, Metric.RM_ECE, Metric.RM_SCALE))


def best_of_n(command: Command) -> None:
    """One best-of-n curve."""
    _optimize(command, "best-of-n")


def ppo(command: Command) -> None:
    """One PPO curve."""
    _optimize(command, "ppo")


def search(command: Command) -> None:
    """Peak gold over KL coefficients and RM sizes."""
    if not command.config.n_trials:
        raise UserError("n_trials=0: `search` needs at least 1; give --n_trials N")
    with Invocation(command) as invocation:
        open_storage(invocation.config, invocation.store)
        wanted = run_search(invocation, plan_study(invocation.config))
        invocation.finish()
        found = invocation.client.get_run(invocation.run_id_of(wanted)).data
        best = f"rm_size={found.tags[Tag.BEST_RM_SIZE]} kl_coef={found.metrics[Metric.BEST_KL_COEF]:g}"
        invocation.say(f"best: {best}, peak gold {found.metrics[Metric.BEST_PEAK_GOLD]:.3f}")
        _show_curves(invocation)


def worker(command: Command) -> None:
    """Trials of a search that many workers share."""
    if not command.config.n_trials:
        raise UserError("n_trials=0: a worker needs at least 1; give --n_trials N, the same to all workers")
    with Invocation(command) as invocation:
        wanted = run_search_worker(invocation, plan_study(invocation.config))
        invocation.finish()
        invocation.say(f"{wanted.name}: all {invocation.config.n_trials} trials are finished")


def experiment(command: Command) -> None:
    """One finding, or several, each over a grid of policy runs."""
    quick = _yes_or_no("quick", command.arguments["quick"])
    preset = "smoke" if quick else command.preset
    names = experiment_names() if command.arguments["name"] == "all" else command.arguments["name"].split(",")
    wanted = [load_experiment(name.strip(), quick) for name in names]
    plans = [plan_cells(each, command.configure(preset, each.options), command.options) for each in wanted]
    keep = Path(command.arguments["results"]) if command.arguments["results"] else None
    with Invocation(command) as invocation:
        for each, cells in zip(wanted, plans, strict=True):
            step = run_experiment(invocation, each, cells, {"preset": preset, "quick": quick}, keep)
            invocation.say(f"{each.name}: {len(cells)} policy runs, run {invocation.run_id_of(step)}")
        invocation.finish()
        _show_curves(invocation)


def fit(command: Command) -> None:
    """Law and forecast of a curve that was logged elsewhere."""
    given, method = command.arguments, command.arguments["method"]
    if method not in METHODS:
        raise UserError(f"method={method}: allowed are {', '.join(METHODS)}")
    gold_sd = _number("gold_sd", given["gold_sd"])
    gold_start = _number("gold_start", given["gold_start"]) if given["gold_start"] else None
    request = FitRequest(given["curve"], given["columns"], method, gold_sd, gold_start)
    logged = request.load() if request.is_file else None  # a file is checked before a store is opened
    with Invocation(command) as invocation:
        logged = logged or request.load(invocation.client)
        step, analysis = fit_curve(invocation, request, logged)
        invocation.finish()
        kl = logged.table.kl
        guessed = "; its standard errors are estimated from the scatter" if logged.se_is_guessed else ""
        invocation.say(f"{request.curve}: {len(kl)} points, {kl.min():.3g} to {kl.max():.3g} nats{guessed}")
        for line in analysis.lines():
            invocation.say(line)
        invocation.say(f"run {invocation.run_id_of(step)}: fit.png, fit.json, points.csv")


def findings(command: Command) -> None:
    """The findings page, from kept results alone."""
    for path in write_page(Path(command.arguments["results"]), Path(command.arguments["page"])):
        print(path)


def promote(command: Command) -> None:
    """A candidate is judged by the gates; if all hold it becomes champion."""
    gates = read_gates(Path(command.arguments["gates"]) if command.arguments["gates"] else None)
    given, dry_run = command.arguments["proxy"], _yes_or_no("dry_run", command.arguments["dry_run"])
    with Invocation(command) as invocation:
        wanted, context = _candidate(invocation, given)
        decision = run_promotion(invocation, gates, context, wanted, dry_run)
        invocation.finish()
        _show_decision(invocation, decision)
    if not decision.passed:
        failed = ", ".join(result.gate.name for result in decision.results if not result.passed)
        raise RefusedError(f"promotion refused by {failed}; run {decision.run_id}")


def rollback(command: Command) -> None:
    """The champion before the present one gets the alias back."""
    with Invocation(command) as invocation:
        move = run_rollback(invocation, command.arguments["why"])
        invocation.finish()
        invocation.say(f"{invocation.config.registered_model}@{Alias.CHAMPION}: {move}")


def history(command: Command) -> None:
    """Every move of the champion's alias."""
    with Invocation(command) as invocation:
        name = invocation.config.registered_model
        moves = moves_of(invocation.client, name)
        invocation.say("\n".join(map(str, moves)) or f"{name}: nobody was champion yet")


def report(command: Command) -> None:
    """The report of a study once more, on this invocation's run."""
    with Invocation(command) as invocation, tempfile.TemporaryDirectory() as scratch:
        files = report_of_run(invocation, command.arguments["study_run"], Path(scratch))
        invocation.finish(files)
        invocation.say(f"report: {invocation.artifact(Artifact.REPORT)}")


def _optimize(command: Command, method: str) -> None:
    _refuse_witnesses(command)
    with Invocation(command) as invocation:
        given, prior = (
            command.arguments["proxy"],
            _forecast_prior(invocation, command.arguments.get("forecast_prior", "")),
        )
        budget: KLBudget | None = None
        if given in SIZES or _is_own(given):
            wanted = plan_curve(invocation.config.replace(rm_size=given), method, prior)
        else:
            budget, run = kl_budget_of(invocation.client, given, method), resolve_proxy(invocation.client, given)
            context = evaluation_context_of_proxy(invocation.client, invocation.config, run)
            wanted = context.curve(run, method, prior, budget.kl if budget else None)
        invocation.scheduler.run([wanted], stop_rules={wanted: KLBudgetWarning(budget)} if budget else None)
        invocation.finish()
        _show_metrics(
            invocation,
            wanted,
            (Metric.PEAK_GOLD, Metric.PEAK_GOLD_SE, Metric.PEAK_KL, Metric.LAW_ALPHA, Metric.LAW_BETA),
        )
        _show_forecast(invocation, wanted)
        if budget:
            invocation.say(f"  {budget.summary(curve_of(invocation.client, invocation.run_id_of(wanted)))}")
        elif given.startswith("models:/"):
            invocation.say(f"  {given} names no KL budget for {method}: no curve by it was there when it was promoted")
        _show_curves(invocation)


def _refuse_witnesses(command: Command) -> None:
    """What watches a proxy is trained beside it: there is none for a proxy that exists."""
    config, proxy = command.config, command.arguments["proxy"]
    if not (proxy in SIZES or _is_own(proxy)) and (config.test_rms or config.ensemble):
        raise UserError(
            f"test_rms={','.join(config.test_rms)} ensemble={config.ensemble}: nothing was trained to watch "
            f"proxy={proxy}; give proxy=SIZE, or leave both out"
        )


def _candidate(invocation: Invocation, given: str) -> tuple[Run | None, EvaluationContext]:
    """What `promote` is to judge, trained if need be, and on what context; None leaves the choice to the rule."""
    config, client = invocation.config, invocation.client
    if not given:
        return None, evaluation_context(config)
    if given in SIZES or _is_own(given):
        wanted = plan_proxy(config, plan_roots(config), given, config.seed)
        invocation.make(wanted)
        return client.get_run(invocation.run_id_of(wanted)), evaluation_context(config)
    run = resolve_proxy(client, given)
    return run, evaluation_context_of_proxy(client, config, run)


def _show_decision(invocation: Invocation, decision: Decision) -> None:
    name = invocation.config.registered_model
    version = f"version {decision.version}, " if decision.version else ""
    verdict = "is champion" if decision.is_champion else "passed all gates" if decision.passed else "refused"
    invocation.say(f"{name}: {version}{decision.candidate.name}: {verdict} (run {decision.run_id})")
    for line in decision.results:
        invocation.say(f"  {line}")


def _is_own(given: str) -> bool:
    """Whether a proxy is given as a checkpoint, not as a version of the registry."""
    return is_checkpoint(given) and not given.startswith("models:/")


def _forecast_prior(invocation: Invocation, given: str) -> RunRef | None:
    """The law run that a forecast starts from; None where none is wanted."""
    if not given:
        return None
    run = resolve_law(invocation.client, invocation.store, given)
    return RunRef(run.info.run_id, run.data.tags[Tag.FINGERPRINT])


def _yes_or_no(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise UserError(f"{name}={value}: allowed are true and false")
    return value == "true"


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UserError(f"{name}={value}: allowed is a number") from None


def _show_metrics(invocation: Invocation, step: Step, names: tuple[str, ...]) -> None:
    run_id = invocation.run_id_of(step)
    metrics = invocation.client.get_run(run_id).data.metrics
    invocation.say(f"{step.name}: run {run_id}")
    invocation.say("  " + "  ".join(f"{name} {metrics[name]:.3f}" for name in names if name in metrics))


def _show_forecast(invocation: Invocation, step: Step) -> None:
    """What the forecast said last, and where it ended the run."""
    run = invocation.client.get_run(invocation.run_id_of(step)).data
    if Metric.FORECAST_P_PAST_PEAK not in run.metrics:
        return
    said = {
        name: run.metrics[MetricPrefix.FORECAST + name]
        for name in ("peak_kl", "peak_gold", "p_past_peak", "gold_responses")
    }
    invocation.say(
        f"  forecast: peak {said['peak_gold']:.2f} at {said['peak_kl']:.2g} nats, behind with probability "
        f"{said['p_past_peak']:.2f}, from {said['gold_responses']:.0f} gold-scored responses"
    )
    if Tag.FORECAST_STOPPED_AT in run.tags:
        invocation.say(f"  stopped there, at update {run.tags[Tag.FORECAST_STOPPED_AT]}")


def _show_curves(invocation: Invocation) -> None:
    for line in invocation.curve_links():
        invocation.say(line)
