"""What each entry point does, readable from top to bottom."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproject.cli.console import (
    show_curve_links,
    show_decision,
    show_metrics,
    show_policy_run,
    show_search,
    show_stops,
)
from mlproject.cli.measure import measure as measure
from mlproject.cli.parser import Command
from mlproject.cli.probe import probe as probe
from mlproject.cli.promotions import close_promotion, refuse_failed
from mlproject.cli.proxies import is_made_here
from mlproject.cli.samples import compare as compare
from mlproject.cli.samples import promote_from_samples, refuse_without_samples
from mlproject.errors import UserError
from mlproject.execution.invocation import Invocation
from mlproject.execution.jobs import Job, Request, one_request
from mlproject.experiments.findings.page import write_page
from mlproject.experiments.run import run_experiment
from mlproject.experiments.spec import experiment_names, load_experiment, plan_cells
from mlproject.names import Alias, Artifact, Metric, Tag
from mlproject.optimization import METHODS, method_named
from mlproject.pipeline.step import RunRef
from mlproject.pipeline.study import plan_curve, plan_proxy, plan_roots, plan_study
from mlproject.registry.candidates import (
    EvaluationContext,
    evaluation_context,
    evaluation_context_of_proxy,
    refuse_reward,
)
from mlproject.registry.evaluate import audit_early
from mlproject.registry.gates import read_gates
from mlproject.registry.history import history as moves_of
from mlproject.registry.kl_budget import KLBudget, KLBudgetWarning, kl_budget_of
from mlproject.registry.promote import promote as run_promotion
from mlproject.registry.rollback import rollback as run_rollback
from mlproject.registry.versions import resolve_proxy
from mlproject.report.fit import FitRequest, fit_curve
from mlproject.report.study_report import rewrite_report, write_report
from mlproject.search.search import run_search, run_search_worker, search_job
from mlproject.search.storage import open_storage
from mlproject.tracking.run_data import curve_of, resolve_law

if TYPE_CHECKING:
    from mlflow.entities import Run


def main(command: Command) -> None:
    """Run a whole study: every curve, the laws, the search, the promotion, the report."""
    gates = read_gates()
    with Invocation(command) as invocation:
        if invocation.config.n_trials:
            open_storage(invocation.config, invocation.store)
        plan, context = plan_study(invocation.config), evaluation_context(invocation.config)
        is_promoting = gates.method in invocation.config.methods
        steps = [*plan.steps, *([context.audit_pool] if is_promoting else [])]
        jobs: list[Job[Any]] = [one_request(Request(steps))]
        if invocation.config.n_trials:
            jobs.append(search_job(invocation, plan))
        if is_promoting:
            jobs.append(audit_early(invocation, gates, context, plan.policy_runs))
        results = invocation.scheduler.run_jobs(*jobs)
        if invocation.config.n_trials:
            show_search(invocation, results[1], with_result=False)
        if is_promoting:
            show_decision(invocation, run_promotion(invocation, gates, context))
        else:
            invocation.say(
                f"no promotion: the gates evaluate {gates.method}, which is not one of the methods. Add it, or give "
                "gates=FILE with another `method`."
            )
        show_stops(invocation, plan.policy_runs)
        write_report(invocation)
        show_curve_links(invocation)


def proxy(command: Command) -> None:
    """Train one proxy RM, and everything that it depends on."""
    with Invocation(command) as invocation:
        config = invocation.config
        step = plan_proxy(config, plan_roots(config), config.rm_size, config.seed)
        invocation.make(step)
        invocation.finish()
        show_metrics(invocation, step, (Metric.RM_VAL_ACCURACY, Metric.RM_VAL_LOSS, Metric.RM_ECE, Metric.RM_SCALE))


def best_of_n(command: Command) -> None:
    """Measure one best-of-n curve."""
    _optimize(command, "best-of-n")


def ppo(command: Command) -> None:
    """Measure one PPO curve."""
    _optimize(command, "ppo")


def search(command: Command) -> None:
    """Search KL coefficients and RM sizes for the highest peak gold."""
    _check_n_trials(command)
    with Invocation(command) as invocation:
        open_storage(invocation.config, invocation.store)
        step = run_search(invocation, plan_study(invocation.config))
        invocation.finish()
        show_search(invocation, step)
        invocation.say_timeline()
        show_curve_links(invocation)


def worker(command: Command) -> None:
    """Run trials of a search that several workers share."""
    _check_n_trials(command)
    with Invocation(command) as invocation:
        step = run_search_worker(invocation, plan_study(invocation.config))
        invocation.finish()
        invocation.say(f"{step.name}: all {invocation.config.n_trials} trials have finished")


def experiment(command: Command) -> None:
    """Measure one or several findings, each over a grid of policy runs."""
    quick = command.flag("quick")
    preset = "smoke" if quick else command.preset
    names = experiment_names() if command.arguments["name"] == "all" else command.arguments["name"].split(",")
    experiments = [load_experiment(name.strip(), quick) for name in names]
    plans = [plan_cells(each, command.configure(preset, each.options), command.options) for each in experiments]
    results = Path(command.arguments["results"]) if command.arguments["results"] else None
    with Invocation(command) as invocation:
        for each, cells in zip(experiments, plans, strict=True):
            step = run_experiment(invocation, each, cells, {"preset": preset, "quick": quick}, results)
            invocation.say(f"{each.name}: {len(cells)} policy runs, run {invocation.run_id_of(step)}")
        invocation.finish()
        invocation.say_timeline()
        show_curve_links(invocation)


def fit(command: Command) -> None:
    """Fit law and forecast to a curve that was logged elsewhere."""
    arguments, method = command.arguments, command.arguments["method"]
    method_named(method)
    gold_sd, gold_start = (command.number(name) if arguments[name] else None for name in ("gold_sd", "gold_start"))
    request = FitRequest(arguments["curve"], arguments["columns"], method, gold_sd, gold_start, arguments["kl_unit"])
    logged = request.load() if request.is_file else None  # a file is checked before a store is opened
    with Invocation(command) as invocation:
        logged = logged or request.load(invocation.client)
        step, analysis = fit_curve(invocation, request, logged)
        invocation.finish()
        kl = logged.table.kl
        guessed = "; its standard errors are estimated from the scatter" if logged.se_is_guessed else ""
        invocation.say(f"{request.curve}: {len(kl)} points, {kl.min():.3g} to {kl.max():.3g} nats{guessed}")
        for line in (logged.read_as, *logged.notes):
            invocation.say(f"  {line}")
        if method not in METHODS:
            invocation.say(f"  {method}: no method of this project, so its law is that of RL, as for ppo")
        for line in analysis.lines():
            invocation.say(line)
        invocation.say(f"run {invocation.run_id_of(step)}: fit.png, fit.json, points.csv")


def findings(command: Command) -> None:
    """Write the findings page from kept results."""
    for path in write_page(Path(command.arguments["results"]), Path(command.arguments["page"])):
        print(path)


def promote(command: Command) -> None:
    """Evaluate a candidate by the gates; if it passes all of them it becomes champion."""
    gates = read_gates(Path(command.arguments["gates"]) if command.arguments["gates"] else None)
    proxy, dry_run = command.arguments["proxy"], command.flag("dry_run")
    if command.arguments["samples"]:
        return promote_from_samples(command, gates, dry_run)
    refuse_without_samples(command)
    with Invocation(command) as invocation:
        candidate, context = _candidate(invocation, proxy)
        decision = run_promotion(invocation, gates, context, candidate, dry_run)
        close_promotion(invocation, decision)
    refuse_failed(decision)


def rollback(command: Command) -> None:
    """Return the alias champion to the version that held it before."""
    with Invocation(command) as invocation:
        move = run_rollback(invocation, command.arguments["why"])
        invocation.finish()
        invocation.describe()
        invocation.say(f"{invocation.config.registered_model}@{Alias.CHAMPION}: {move}")


def history(command: Command) -> None:
    """List every move of the champion's alias."""
    with Invocation(command) as invocation:
        name = invocation.config.registered_model
        moves = moves_of(invocation.client, name)
        invocation.say("\n".join(map(str, moves)) or f"{name}: no version has been champion yet")


def report(command: Command) -> None:
    """Write the report of a study again, in place of its own."""
    with Invocation(command) as invocation, tempfile.TemporaryDirectory() as scratch:
        study_run = rewrite_report(invocation, command.arguments["study_run"], Path(scratch))
        invocation.finish()
        location = invocation.client.get_run(study_run).info.artifact_uri
        invocation.say(f"report: {location}/{Artifact.REPORT}".replace("file://", ""))


def _optimize(command: Command, method: str) -> None:
    proxy = command.arguments["proxy"]
    if not is_made_here(proxy):
        _refuse_auxiliary_rms(command)
    with Invocation(command) as invocation:
        prior = _forecast_prior(invocation, command.arguments.get("forecast_prior", ""))
        budget: KLBudget | None = None
        if is_made_here(proxy):
            step = plan_curve(invocation.config.replace(rm_size=proxy), method, prior)
        else:
            budget, run = kl_budget_of(invocation.client, proxy, method), resolve_proxy(invocation.client, proxy)
            context = evaluation_context_of_proxy(invocation.client, invocation.config, run)
            step = context.curve(run, method, prior, budget.kl if budget else None)
        invocation.scheduler.run([step], stop_rules={step: KLBudgetWarning(budget)} if budget else None)
        invocation.finish()
        show_policy_run(invocation, step)
        if budget:
            invocation.say(f"  {budget.summary(curve_of(invocation.client, invocation.run_id_of(step)))}")
        elif proxy.startswith("models:/"):
            invocation.say(f"  {proxy} has no KL budget for {method}: it had no {method} curve when it was promoted")
        show_curve_links(invocation)


def _check_n_trials(command: Command) -> None:
    name = command.entry_point.name
    if not command.config.n_trials:
        raise UserError(f"n_trials=0: must be at least 1 with {name}. Give --n_trials N, the same to all workers.")


def _refuse_auxiliary_rms(command: Command) -> None:
    """Test RMs and ensemble members are trained beside their proxy; a proxy that exists has none."""
    config, proxy = command.config, command.arguments["proxy"]
    if config.test_rms or config.ensemble:
        raise UserError(
            f"test_rms={','.join(config.test_rms)} ensemble={config.ensemble}: must be empty and 0 with proxy={proxy}, "
            "which exists already. Remove the options or use proxy=SIZE."
        )


def _candidate(invocation: Invocation, proxy: str) -> tuple[Run | None, EvaluationContext]:
    """The run of the candidate, trained if necessary, and its context; no run leaves the choice to the ranking."""
    config, client = invocation.config, invocation.client
    if not proxy:
        return None, evaluation_context(config)
    refuse_reward(proxy, proxy)
    if is_made_here(proxy):
        step = plan_proxy(config, plan_roots(config), proxy, config.seed)
        invocation.make(step)
        return client.get_run(invocation.run_id_of(step)), evaluation_context(config)
    run = resolve_proxy(client, proxy)
    refuse_reward(proxy, run.data.params["rm_size"])
    return run, evaluation_context_of_proxy(client, config, run)


def _forecast_prior(invocation: Invocation, law_run: str) -> RunRef | None:
    """The law run whose curves give the forecast its prior; None without one."""
    if not law_run:
        return None
    run = resolve_law(invocation.client, invocation.store, law_run)
    return RunRef(run.info.run_id, run.data.tags[Tag.FINGERPRINT])
