"""Carries a search out, as a step whose run lists the trials; or takes it up where it was cut off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from mlproject.config.schema import Config
from mlproject.names import Artifact, Kind, Metric, Role, Tag
from mlproject.pipeline.step import Step
from mlproject.search.page import search_page
from mlproject.search.queue import heartbeat, is_queue, mend, next_trial
from mlproject.search.space import GRIDS, Space
from mlproject.search.storage import directions, open_storage, policy_run_options
from mlproject.search.trials import (
    batches,
    carry_out_trials,
    plan_trial,
    trial_rows,
    write_trials,
)
from mlproject.tracking.liveness import reap
from mlproject.tracking.runs import StepRun, carry_out, curve_of
from mlproject.worlds import FILES

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation
    from mlproject.pipeline.study import Plan
    from mlproject.tracking.store import Store

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def search_step(config: Config, plan: Plan) -> Step:
    """The search as a step: its run lists the trials."""
    return Step(
        name=f"search {config.study}",
        kind=Kind.SEARCH,
        version=3,
        params={**_problem(config), "n_trials": config.n_trials},
        inputs={Role.COMPARISONS: plan.comparisons, Role.POOL: plan.pool},
    )


def search(invocation: Invocation, plan: Plan) -> Step:
    """Carry the search out, or find it made, or take it up where it was cut off.

    Returns:
        the step; its run has the artifact `trials.csv`.
    """
    config, scheduler = invocation.config, invocation.scheduler
    step = search_step(config, plan)
    run = scheduler.start(step)
    if run is None:
        return step

    def fill(run: StepRun) -> None:
        study = open_study(config, step, invocation.store)
        run.set_tags({Tag.STUDY_NAME: study.study_name})
        if is_queue(study):
            work_off(invocation, study)
        for batch in batches(study, config):
            planned = [plan_trial(config, trial, study.study_name) for trial in batch]
            first = min(trial.number for trial in batch)
            known = [trial for trial in study.get_trials(states=_FINISHED) if trial.number < first]
            carry_out_trials(invocation, study, planned, run.run_id, known)
            run.progress(len(study.trials) / max(1, config.n_trials))
        sum_up(run, study, config)

    carry_out(run, fill)
    scheduler.finish(step, run)
    return step


def work(invocation: Invocation, plan: Plan) -> Step:
    """Work on a search together with other workers, on this machine or elsewhere, until it is finished.

    Returns:
        the step of the search, which one of the workers sums up.
    """
    step = search_step(invocation.config, plan)
    invocation.make(plan.comparisons, plan.pool)
    study = open_study(invocation.config, step, invocation.store)
    mend(study, invocation.config.n_trials)
    work_off(invocation, study)
    reap(invocation.client, invocation.store)
    return search(invocation, plan)


def work_off(invocation: Invocation, study: optuna.Study) -> None:
    """Carry out trials of the queue until there are none left."""
    config = invocation.config
    while (trial := next_trial(study, config)) is not None:
        with heartbeat(study, trial):
            known = study.get_trials(states=_FINISHED)
            planned = plan_trial(config, trial, study.study_name)
            carry_out_trials(invocation, study, [planned], invocation.run_id, known)


def sum_up(run: StepRun, study: optuna.Study, config: Config) -> None:
    """Artifacts, metrics and tags of a search's run."""
    rows = trial_rows(study, config)
    write_trials(rows, run.folder / Artifact.TRIALS)
    complete = [row for row in rows if row["state"] == "COMPLETE"]
    run.log_metrics(
        {
            Metric.TRIALS_COMPLETE: len(complete),
            Metric.TRIALS_PRUNED: sum(row["state"] == "PRUNED" for row in rows),
            Metric.TRIALS_UPDATES: sum(row["updates"] for row in rows if row["updates"] and not row["reused"]),
        }
    )
    curve, command = None, ""
    if complete:
        best = max(complete, key=lambda row: row["peak_gold"])
        run.log_metrics({Metric.BEST_PEAK_GOLD: best["peak_gold"], Metric.BEST_KL_COEF: best["kl_coef"]})
        run.set_tags({Tag.BEST_RM_SIZE: best["rm_size"], Tag.BEST_RUN_ID: best["run_id"]})
        curve, command = curve_of(run.client, best["run_id"]), final_command(config, best)
    (run.folder / Artifact.SEARCH_PAGE).write_text(search_page(study, config, rows, curve, command))


def final_command(config: Config, best: Mapping[str, Any]) -> str:
    """The command that trains the final policy with what the search found, up to its forecast peak."""
    chosen = {name: best[name] for name in Space.of(config).grids if name != "rm_size"}
    options = "".join(f" -P {name}={value:g}" for name, value in chosen.items())
    file = " -P config=YOUR_FILE" if config.world == FILES else ""
    return (
        f"mlflow run . --env-manager local -e ppo{file} -P proxy={best['rm_size']}{options} -P seed={config.seed} "
        "-P stop=forecast -P forecast_prior=latest"
    )


def open_study(config: Config, step: Step, store: Store) -> optuna.Study:
    """The Optuna study of a search: another problem is another study, whatever its name."""
    problem = Step("", Kind.SEARCH, step.version, _problem(config), inputs=step.inputs)
    return optuna.create_study(
        study_name=f"{config.study}-{problem.fingerprint[:8]}",
        storage=open_storage(config, store),
        directions=directions(config),
        load_if_exists=True,
    )


def _problem(config: Config) -> dict[str, Any]:
    """What the trials of a study have in common."""
    return {
        **config.select(
            "study", *GRIDS.values(), "search_batch", "search_sampler", "search_pruner", "search_objective"
        ),
        "seed": config.seed,
        "policy_run": policy_run_options(config),
    }
