"""Runs a search as a step whose run lists the trials; an interrupted search is resumed."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from mlproject.config.schema import Config
from mlproject.execution.jobs import Job, Request
from mlproject.names import Artifact, Kind, Metric, Role, Tag
from mlproject.optimization import METHODS
from mlproject.options.secrets import mask
from mlproject.pipeline.step import Step
from mlproject.recommendation.evidence import evidence_of
from mlproject.recommendation.record import to_dict
from mlproject.search.page import render_page
from mlproject.search.queue import heartbeat, is_over, is_queue, next_trial, repair_queue
from mlproject.search.recommended import recommendation_of_trials
from mlproject.search.space import GRIDS, LATER_GRIDS, Space, value_text
from mlproject.search.storage import directions, open_storage, shared_options
from mlproject.search.trials import next_batches, plan_trial, run_trials, trial_rows, write_trials
from mlproject.strict_json import strict_json
from mlproject.tracking.closing import closing
from mlproject.tracking.liveness import reap
from mlproject.tracking.provenance import provenance
from mlproject.tracking.run_data import curve_of
from mlproject.tracking.runs import StepRun

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation
    from mlproject.pipeline.study import Plan
    from mlproject.tracking.store import Store

_BEST = {"kl_coef": Metric.BEST_KL_COEF, "align_beta": Metric.BEST_BETA}
"""Metrics of the best trial's coefficient, by option."""

_LOOK_SECONDS = 1.0
"""How often the trials of other workers are looked at."""

_OF_THE_COMMAND = (
    "methods", "rm_sizes", "rm_size", "proxy", "seeds", "seed", "stop", "forecast_prior", "n_trials", "workers",
    "optuna_storage",
)  # fmt: skip
"""Options that the command of the best trial sets itself, or that concern one command only."""

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def search_step(config: Config, plan: Plan) -> Step:
    """The search as a step; its run lists the trials."""
    return Step(
        name=f"search {config.study}",
        kind=Kind.SEARCH,
        version=3,
        params={**_identity(config), "n_trials": config.n_trials},
        inputs={Role.COMPARISONS: plan.comparisons, Role.POOL: plan.pool},
    )


def run_search(invocation: Invocation, plan: Plan) -> Step:
    """Run the search, resume it if it was interrupted, or reuse its run if it is finished.

    Returns:
        the step; its run has the artifacts `trials.csv` and `search.html`.
    """
    [step] = invocation.scheduler.run_jobs(search_job(invocation, plan))
    return step


def search_job(invocation: Invocation, plan: Plan) -> Job[Step]:
    """The job that does what `run_search` does."""
    config, scheduler = invocation.config, invocation.scheduler
    step = search_step(config, plan)
    run = yield from scheduler.opened(step)
    if run is None:
        return step
    with closing(run):
        study = open_study(config, step, invocation.store)
        run.set_tags({Tag.STUDY_NAME: study.study_name})
        if is_queue(study):
            yield from _run_queue(invocation, study)
        for batch in next_batches(study, config):
            planned = [plan_trial(config, trial, study.study_name) for trial in batch]
            first, last = min(trial.number for trial in batch), max(trial.number for trial in batch)
            finished = [trial for trial in study.get_trials(states=_FINISHED) if trial.number < first]
            further = math.ceil((config.n_trials - 1 - last) / config.search_batch)
            yield from run_trials(invocation, study, planned, run.run_id, finished, further)
            run.progress(len(study.trials) / max(1, config.n_trials))
        command = invocation.command
        given = {"preset": command.preset, "config": command.arguments.get("config", "")} | command.options
        _summarize(run, study, config, provenance(invocation.client, invocation.run_id), given)
    scheduler.finish(step, run)
    return step


def run_search_worker(invocation: Invocation, plan: Plan) -> Step:
    """Run trials of a search that is shared with other workers, on any machine, until all trials are finished.

    Returns:
        the step of the search, whose run one of the workers writes.
    """
    step = search_step(invocation.config, plan)
    invocation.make(plan.comparisons, plan.pool)
    study = open_study(invocation.config, step, invocation.store)
    repair_queue(study, invocation.config.n_trials)
    invocation.scheduler.run_jobs(_run_queue(invocation, study))
    reap(invocation.client, invocation.store)
    return run_search(invocation, plan)


def _run_queue(invocation: Invocation, study: optuna.Study) -> Job[None]:
    """The job that runs trials of the queue until every slot is finished. While other workers run trials it looks on,
    since these may be queued again."""
    config = invocation.config
    while True:
        trial = next_trial(study, config)
        if trial is None and is_over(study):
            return
        if trial is None:
            look_at = time.monotonic() + _LOOK_SECONDS
            while time.monotonic() < look_at:
                yield Request()
            continue
        with heartbeat(study, trial):
            finished = study.get_trials(states=_FINISHED)
            planned = plan_trial(config, trial, study.study_name)
            yield from run_trials(invocation, study, [planned], invocation.run_id, finished)


def _summarize(
    run: StepRun, study: optuna.Study, config: Config, facts: Mapping[str, str], given: Mapping[str, str]
) -> None:
    """Write the artifacts, metrics and tags of the search run."""
    rows = trial_rows(study, config)
    write_trials(rows, run.folder / Artifact.TRIALS)
    complete = [row for row in rows if row["state"] == "COMPLETE"]
    run.log_metrics(
        {
            Metric.TRIALS_COMPLETE: len(complete),
            Metric.TRIALS_REUSED: sum(row["reused"] is True for row in rows),
            Metric.TRIALS_PRUNED: sum(row["state"] == "PRUNED" for row in rows),
            Metric.TRIALS_UPDATES: sum(row["updates"] for row in rows if row["updates"] and not row["reused"]),
        }
    )
    found = recommendation_of_trials(run.client, config, rows)
    curve, command = None, ""
    if complete:
        best = max(complete, key=lambda row: row["peak_gold"])
        coefficients = {name: best[name] for name in _BEST if name in best}
        run.log_metrics({Metric.BEST_PEAK_GOLD: best["peak_gold"], **{_BEST[k]: v for k, v in coefficients.items()}})
        run.set_tags({Tag.BEST_RM_SIZE: best["rm_size"], Tag.BEST_RUN_ID: best["run_id"]})
        if found.choice is not None:  # the page shows what is recommended, as the sentences say it
            run_ids = set(found.choice.setting.run_ids.values())
            best = next(row for row in complete if row["run_id"] in run_ids)
        curve, command = curve_of(run.client, best["run_id"]), final_command(config, best, given)
    recommendation = to_dict(found, evidence_of(found))
    (run.folder / Artifact.RECOMMENDATION).write_text(strict_json(recommendation, indent=1))
    page = render_page(study, config, rows, curve, command, recommendation["sentences"], facts)
    (run.folder / Artifact.SEARCH_PAGE).write_text(page)


def final_command(config: Config, best: Mapping[str, Any], given: Mapping[str, str] | None = None) -> str:
    """The command that runs the method with the options of the best trial; a policy is trained to its forecast peak.

    Args:
        config: of the search.
        best: row of the trial.
        given: options of the search's own command, among them `preset` and `config`; those that it leaves to the search
            and to the command are left out.
    """
    method, searched = METHODS[config.searched_method], {name: best[name] for name in Space.of(config).grids}
    rm_size = searched.pop("rm_size", "")
    has_entry_point = method.trains_policy and bool(method.entry_point)
    others = {
        name: value
        for name, value in (given or {}).items()
        if name not in _OF_THE_COMMAND and not name.startswith("search_") and name not in searched and value
    }
    tried = {name: value_text(value) for name, value in searched.items()}
    if has_entry_point:
        what = {"proxy": rm_size}
        how = {"seed": str(config.seed), "stop": "forecast", "forecast_prior": "latest"}
    else:
        what = {"methods": method.name, **({"rm_sizes": rm_size} if method.needs_proxy else {})}
        stop = {"stop": "forecast"} if method.trains_policy else {}
        how = {"seeds": str(config.seed), **stop, "n_trials": "0"}
    options = {**what, **others, **tried, **how}
    entry = ["-e", method.entry_point] if has_entry_point else []
    parts = [part for name, value in options.items() for part in ("-P", f"{name}={value}")]
    return mask(shlex.join(["mlflow", "run", ".", "--env-manager", "local", *entry, *parts]))


def open_study(config: Config, step: Step, store: Store) -> optuna.Study:
    """The Optuna study of a search. Searches that differ in anything but `n_trials` have studies of their own."""
    identity = Step("", Kind.SEARCH, step.version, _identity(config), inputs=step.inputs)
    return optuna.create_study(
        study_name=f"{config.study}-{identity.fingerprint[:8]}",
        storage=open_storage(config, store),
        directions=directions(config),
        load_if_exists=True,
    )


def _identity(config: Config) -> dict[str, Any]:
    """The options that identify a search: those that its trials share, and the grids."""
    return {
        **config.select(
            "study",
            *(grid for grid in GRIDS.values() if grid not in LATER_GRIDS),
            "search_batch",
            "search_sampler",
            "search_pruner",
            "search_objective",
        ),
        **config.changed("search_first", *LATER_GRIDS),
        "seed": config.seed,
        "policy_run": shared_options(config),
    }
