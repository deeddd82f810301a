"""What each entry point does, readable from top to bottom."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from mlproject.command_line import Call
from mlproject.errors import UserError
from mlproject.experiments import known_experiments, load_experiment, plan_cells
from mlproject.findings.page import write_page
from mlproject.models.sizes import SIZES
from mlproject.steps.policy_run import COMPLETE, policy_run
from mlproject.steps.pool import pool
from mlproject.steps.proxy_rm import proxy_rm
from mlproject.steps.step import Made, Step
from mlproject.study import plan_curve, plan_study
from mlproject.tracking.experiment import experiment as run_experiment
from mlproject.tracking.invocation import Invocation
from mlproject.tracking.registry import promotion_step, resolve_proxy, still_holds
from mlproject.tracking.report.study_report import report_of_run, write_report
from mlproject.tracking.runs import FINGERPRINT, INPUTS, resolve_law
from mlproject.tracking.search.search import search as run_search
from mlproject.tracking.search.search import work as work_on_search
from mlproject.tracking.search.storage import open_storage


def main(call: Call) -> None:
    """A whole study: every curve, the laws, the search, the promotion, the report."""
    with Invocation(call) as invocation:
        if invocation.config.n_trials:
            open_storage(invocation.config, invocation.store)
        plan = plan_study(invocation.config)
        invocation.make(*plan.steps)
        if invocation.config.n_trials:
            run_search(invocation, plan)
        _promote(invocation, invocation.run_id_of(plan.pool))
        write_report(invocation)
        _show_curves(invocation)


def proxy(call: Call) -> None:
    """One proxy RM, with what it stands on."""
    with Invocation(call) as invocation:
        config = invocation.config
        wanted = proxy_rm(config, plan_study(config).comparisons, config.rm_size, config.seed)
        invocation.make(wanted)
        invocation.finish()
        _show_metrics(invocation, wanted, ("rm/val_accuracy", "rm/val_loss", "rm/ece", "rm/scale"))


def best_of_n(call: Call) -> None:
    """One best-of-n curve."""
    _optimize(call, "best-of-n")


def ppo(call: Call) -> None:
    """One PPO curve."""
    _optimize(call, "ppo")


def search(call: Call) -> None:
    """Peak gold over KL coefficients and RM sizes."""
    if not call.config.n_trials:
        raise UserError("n_trials=0: `search` needs at least 1; give --n_trials N")
    with Invocation(call) as invocation:
        open_storage(invocation.config, invocation.store)
        wanted = run_search(invocation, plan_study(invocation.config))
        invocation.finish()
        found = invocation.client.get_run(invocation.run_id_of(wanted)).data
        best = f"rm_size={found.tags['best.rm_size']} kl_coef={found.metrics['best/kl_coef']:g}"
        invocation.say(f"best: {best}, peak gold {found.metrics['best/peak_gold']:.3f}")
        _show_curves(invocation)


def worker(call: Call) -> None:
    """Trials of a search that many workers share."""
    if not call.config.n_trials:
        raise UserError("n_trials=0: a worker needs at least 1; give --n_trials N, the same to all workers")
    with Invocation(call) as invocation:
        wanted = work_on_search(invocation, plan_study(invocation.config))
        invocation.finish()
        invocation.say(f"{wanted.name}: all {invocation.config.n_trials} trials are finished")


def experiment(call: Call) -> None:
    """One finding, or several, each over a grid of policy runs."""
    quick = _yes_or_no("quick", call.arguments["quick"])
    preset = "smoke" if quick else call.preset
    names = known_experiments() if call.arguments["name"] == "all" else call.arguments["name"].split(",")
    wanted = [load_experiment(name.strip(), quick) for name in names]
    plans = [plan_cells(each, call.configure(preset, each.options), call.given) for each in wanted]
    keep = Path(call.arguments["results"]) if call.arguments["results"] else None
    with Invocation(call) as invocation:
        for each, cells in zip(wanted, plans, strict=True):
            step = run_experiment(invocation, each, cells, {"preset": preset, "quick": quick}, keep)
            invocation.say(f"{each.name}: {len(cells)} policy runs, run {invocation.run_id_of(step)}")
        invocation.finish()
        _show_curves(invocation)


def findings(call: Call) -> None:
    """The findings page, from kept results alone."""
    for path in write_page(Path(call.arguments["results"]), Path(call.arguments["page"])):
        print(path)


def promote(call: Call) -> None:
    """Register the proxies that have curves; the best becomes champion."""
    with Invocation(call) as invocation:
        config = invocation.config
        known = invocation.conductor.find(plan_study(config).pool)
        if known is None:
            raise UserError("promote: no finished curve for this configuration; run `main`, `ppo` or `best_of_n` first")
        wanted = _promote(invocation, known)
        invocation.finish()
        tags = invocation.client.get_run(invocation.run_id_of(wanted)).data.tags
        version, size, seed = (tags[f"champion.{name}"] for name in ("version", "rm_size", "seed"))
        invocation.say(f"champion of {config.registered_model}: version {version}, size {size}, seed {seed}")


def report(call: Call) -> None:
    """The report of a study once more, on this invocation's run."""
    with Invocation(call) as invocation, tempfile.TemporaryDirectory() as scratch:
        files = report_of_run(invocation, call.arguments["study_run"], Path(scratch))
        invocation.finish(files)
        invocation.say(f"report: {invocation.artifact('report.html')}")


def _optimize(call: Call, method: str) -> None:
    with Invocation(call) as invocation:
        given, prior = call.arguments["proxy"], _forecast_prior(invocation, call.arguments.get("forecast_prior", ""))
        if given in SIZES:
            wanted = plan_curve(invocation.config.replace(rm_size=given), method, prior)
        else:
            wanted = _against_existing(invocation, given, method, prior)
        invocation.make(wanted)
        invocation.finish()
        _show_metrics(invocation, wanted, ("peak/gold", "peak/gold_se", "peak/kl", "law/alpha", "law/beta"))
        _show_forecast(invocation, wanted)
        _show_curves(invocation)


def _promote(invocation: Invocation, pool_run_id: str) -> Step:
    """Promote, also where the same promotion was made before but somebody else has moved the alias since."""
    step = promotion_step(invocation.config, invocation.store, pool_run_id)
    made = invocation.conductor.find(step)
    if made is not None and not still_holds(invocation.client, made):
        invocation.conductor.forget(step)
    invocation.make(step)
    return step


def _forecast_prior(invocation: Invocation, given: str) -> Made | None:
    """The law run that a forecast starts from; None where none is wanted."""
    if not given:
        return None
    run = resolve_law(invocation.client, invocation.store, given)
    return Made(run.info.run_id, run.data.tags[FINGERPRINT])


def _against_existing(invocation: Invocation, given: str, method: str, prior: Made | None) -> Step:
    """A policy run against a proxy RM that exists, in the proxy's own world and with its own seed."""
    run = resolve_proxy(invocation.client, given)
    p, sources = run.data.params, {}
    for role, run_id in json.loads(run.data.tags[INPUTS]).items():
        sources[role] = Made(run_id, invocation.client.get_run(run_id).data.tags[FINGERPRINT])
    config = invocation.config.replace(world=p["world"], world_seed=int(p["world_seed"]))
    samples = pool(config, sources["initial-policy"], sources["gold-rm"])
    existing = Made(run.info.run_id, run.data.tags[FINGERPRINT], p)
    return policy_run(config, existing, samples, method, int(p["seed"]), prior=prior)


def _yes_or_no(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise UserError(f"{name}={value}: allowed are true and false")
    return value == "true"


def _show_metrics(invocation: Invocation, step: Step, names: tuple[str, ...]) -> None:
    run_id = invocation.run_id_of(step)
    metrics = invocation.client.get_run(run_id).data.metrics
    invocation.say(f"{step.name}: run {run_id}")
    invocation.say("  " + "  ".join(f"{name} {metrics[name]:.3f}" for name in names if name in metrics))


def _show_forecast(invocation: Invocation, step: Step) -> None:
    """What the forecast said last, and where it ended the run."""
    run = invocation.client.get_run(invocation.run_id_of(step)).data
    if "forecast/p_past_peak" not in run.metrics:
        return
    said = {name: run.metrics[f"forecast/{name}"] for name in ("peak_kl", "peak_gold", "p_past_peak", "gold_responses")}
    invocation.say(
        f"  forecast: peak {said['peak_gold']:.2f} at {said['peak_kl']:.2g} nats, behind with probability "
        f"{said['p_past_peak']:.2f}, from {said['gold_responses']:.0f} gold-scored responses"
    )
    if run.tags.get(COMPLETE) == "false":
        invocation.say(f"  stopped there, at update {run.tags['forecast/stopped_at']}")


def _show_curves(invocation: Invocation) -> None:
    for line in invocation.curve_links():
        invocation.say(line)
