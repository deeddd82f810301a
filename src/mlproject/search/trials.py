"""Trials of a search: proposed in batches, run as policy runs, and reported to Optuna."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from mlflow.entities import Run
from optuna.trial import FrozenTrial, Trial, TrialState

from mlproject.config.schema import Config
from mlproject.config.search_options import FORWARD_PASSES
from mlproject.cures import PLAIN, parse_reward, passes_of
from mlproject.execution.jobs import Job, Request
from mlproject.names import Metric, MlflowTag, Tag, TagPrefix, TrialAttribute
from mlproject.names.quoting import filter_value
from mlproject.optimization import METHODS
from mlproject.optimization.stopping import StopRule
from mlproject.pipeline.policy_run import IMPLICIT
from mlproject.pipeline.step import Step
from mlproject.pipeline.study import plan_curve
from mlproject.plotting.colours import pale
from mlproject.search.law_pruner import PrunerDecision
from mlproject.search.pruning_callback import PruningCallback
from mlproject.search.space import GRIDS, Space, searchable
from mlproject.search.storage import new_pruner, new_sampler
from mlproject.tracking.run_data import curve_of
from mlproject.tracking.store import all_runs

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation

_PREDICTIONS = (
    TrialAttribute.PREDICTED_PEAK_GOLD,
    TrialAttribute.PREDICTED_UPPER,
    TrialAttribute.BEST_PEAK_GOLD,
)
COLUMNS = (
    "number", "state", *GRIDS, "peak_gold", "peak_gold_se", "peak_kl", "cost",
    TrialAttribute.UPDATES, TrialAttribute.VERDICT, *_PREDICTIONS, TrialAttribute.RUN_ID, TrialAttribute.REUSED,
)  # fmt: skip
"""Columns of `trials.csv`: options of a trial, its result, and why it ended before its budget. What cannot be searched
with the method is left out, but for `rm_size`."""

_TEXTS = ("state", "rm_size", "reward", TrialAttribute.VERDICT, TrialAttribute.RUN_ID)


@dataclass(frozen=True)
class PlannedTrial:
    """A trial with the step of its policy run."""

    trial: Trial
    step: Step


def next_batches(study: optuna.Study, config: Config) -> Iterator[list[Trial]]:
    """Batches of trials to run, until there are `n_trials`.

    An interrupted trial is resumed with its number and parameters, and each proposal has a sampler seeded by the trial
    number, so that a resumed search proposes what an uninterrupted one would have proposed.
    """
    space = Space.of(config).distributions()
    interrupted = {frozen.number: frozen._trial_id for frozen in study.get_trials(states=(TrialState.RUNNING,))}
    for start in range(0, config.n_trials, config.search_batch):
        batch = []
        for number in range(start, min(start + config.search_batch, config.n_trials)):
            is_new = number == len(study.get_trials(deepcopy=False))
            if number not in interrupted and not is_new:
                continue
            study.sampler = new_sampler(config, number)
            trial = study.ask(space) if is_new else Trial(study, interrupted[number])
            for name, distribution in space.items():  # an interrupted trial may lack parameters
                trial.suggest_int(name, distribution.low, distribution.high)
            batch.append(trial)
        if batch:
            yield batch


def plan_trial(config: Config, trial: Trial, study_name: str) -> PlannedTrial:
    """The policy run of a trial, tagged with study and trial number."""
    cell = Space.of(config).cell(trial.params)
    step = plan_curve(config.replace(**cell), config.searched_method)
    trial.set_user_attr(TrialAttribute.RM_PARAMS, step.inherited_params["rm_params"])
    return PlannedTrial(
        trial, replace(step, tags={**step.tags, Tag.STUDY_NAME: study_name, Tag.TRIAL_NUMBER: str(trial.number)})
    )


def run_trials(
    invocation: Invocation,
    study: optuna.Study,
    batch: Sequence[PlannedTrial],
    made_by: str,
    finished: Sequence[FrozenTrial],
    further: int = 0,
) -> Job[None]:
    """The job that runs a batch of trials and reports the results to Optuna.

    Args:
        invocation: the invocation that runs the search.
        study: study of the trials.
        batch: trials to run side by side.
        made_by: run id of the search.
        finished: finished trials that the pruner may learn from.
        further: batches that will follow.
    """
    existing: dict[Step, Run] = {}
    stop_rules: dict[Step, StopRule] = {}
    for planned in batch:
        if (run := _existing_run(invocation, study, planned, finished)) is not None:
            existing[planned.step] = run
        if (rule := _pruning_callback(invocation.config, planned, finished)) is not None:
            stop_rules[planned.step] = rule
    missing = [planned.step for planned in batch if planned.step not in existing]
    try:
        outcomes = (yield Request(missing, made_by, stop_rules, further)) if missing else {}
    except Exception:  # only the trial whose run failed has failed; the others of the batch are resumed next time
        for planned in batch:
            if planned.step == invocation.scheduler.failed:
                study.tell(planned.trial, state=TrialState.FAIL)
        raise
    for planned in batch:
        run = existing.get(planned.step) or invocation.client.get_run(outcomes[planned.step].run_id)
        _report_result(invocation, study, planned, run, made_by)


def trial_rows(study: optuna.Study, config: Config) -> list[dict[str, Any]]:
    """One row per finished trial, with `COLUMNS`."""
    finished = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))[: config.n_trials]
    failed = [trial for trial in study.get_trials(states=(TrialState.FAIL,)) if trial.number < config.n_trials]
    return [_row(trial, config) for trial in sorted(finished + failed, key=lambda trial: trial.number)]


def write_trials(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write `trials.csv`."""
    columns = [name for name in COLUMNS if not rows or name in rows[0]]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def read_trials(path: Path) -> list[dict[str, Any]]:
    """Rows of `trials.csv`. Numbers are floats, and None if the field is empty."""

    def value(name: str, text: str) -> Any:
        if name in _TEXTS:
            return text
        if name == TrialAttribute.REUSED:
            return text == "True"
        return float(text) if text else None

    with path.open(newline="") as file:
        return [{name: value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def _pruning_callback(config: Config, planned: PlannedTrial, finished: Sequence[FrozenTrial]) -> PruningCallback | None:
    """The rule that may end a trial early; none for a cell that the study needs whole."""
    pruner, trial = new_pruner(config), planned.trial
    is_of_study = config.search_first == "study" and trial.params in Space.of(config).first(config)
    if pruner is None or is_of_study:
        return None
    attributes = {TrialAttribute.RM_PARAMS: trial.user_attrs[TrialAttribute.RM_PARAMS]}
    return PruningCallback(pruner, finished, trial.params, dict(trial.distributions), attributes)


def _existing_run(
    invocation: Invocation, study: optuna.Study, planned: PlannedTrial, finished: Sequence[FrozenTrial]
) -> Run | None:
    """A finished run of the trial, or of a trial with the same parameters, even if it ended before its budget.

    A pruned trial need not run again: with the trials that have finished since, it would be pruned as well.
    """
    query = (
        f"attributes.status = 'FINISHED' and tags.`{Tag.STUDY_NAME}` = {filter_value(study.study_name)} "
        f"and tags.`{Tag.TRIAL_NUMBER}` = '{planned.trial.number}'"
    )
    if runs := all_runs(invocation.client, [invocation.store.policy_runs], query):
        return runs[0]
    for trial in finished:
        if trial.params == planned.trial.params and TrialAttribute.RUN_ID in trial.user_attrs:
            run = invocation.client.get_run(trial.user_attrs[TrialAttribute.RUN_ID])
            if run.info.status == "FINISHED":
                return run
    return None


def _report_result(invocation: Invocation, study: optuna.Study, planned: PlannedTrial, run: Run, made_by: str) -> None:
    """Report the points of a run, its peak, its cost and the reason for which it ended to Optuna, and end the trial."""
    metrics, tags, config, trial = run.data.metrics, run.data.tags, invocation.config, planned.trial
    curve = curve_of(invocation.client, run.info.run_id)
    if config.search_objective == "peak":  # Optuna takes intermediate values for one objective only
        reported = study.get_trials(deepcopy=False)[trial.number].intermediate_values
        for point in curve:
            if point.step not in reported:
                trial.report(point.gold, point.step)
        for name, values in (
            (TrialAttribute.CURVE_KL, curve.kl_S),
            (TrialAttribute.CURVE_GOLD_SE, [point.gold_se for point in curve]),
        ):
            trial.set_user_attr(name, dict(zip(map(str, curve.steps_S), map(float, values), strict=True)))
    is_new = tags[Tag.MADE_BY] == made_by and tags.get(Tag.TRIAL_NUMBER, str(trial.number)) == str(trial.number)
    attributes = {
        TrialAttribute.RUN_ID: run.info.run_id,
        TrialAttribute.REUSED: not is_new,
        TrialAttribute.UPDATES: int(curve.steps_S[-1]),
        **{name: metrics[name] for name in (Metric.PEAK_GOLD, Metric.PEAK_GOLD_SE, Metric.PEAK_KL)},
        **{name: tags[TagPrefix.VERDICT + name] for name in _PREDICTIONS if TagPrefix.VERDICT + name in tags},
        TrialAttribute.VERDICT: tags.get(Tag.VERDICT, ""),
    }
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    if tags.get(Tag.COMPLETE) == "false" and tags.get(Tag.VERDICT) != PrunerDecision.PAST_PEAK.value:
        colour = pale(planned.step.tags[MlflowTag.RUN_COLOR])
        invocation.client.set_tag(run.info.run_id, MlflowTag.RUN_COLOR, colour)
        study.tell(trial, state=TrialState.PRUNED)
    elif config.search_objective == "peak":
        study.tell(trial, metrics[Metric.PEAK_GOLD])
    else:
        study.tell(trial, [metrics[Metric.PEAK_GOLD], _cost(config, run)])


def _cost(config: Config, run: Run) -> float:
    """The second objective: updates to the peak, number of comparisons, or the reward models' forward passes up to the
    peak, one for each response and each model that reads it."""
    if config.search_objective == "peak-and-updates":
        return run.data.metrics[Metric.PEAK_STEP]
    if config.search_objective == FORWARD_PASSES:
        p, method = run.data.params, METHODS[config.searched_method]
        passes = passes_of(parse_reward(p.get("reward", PLAIN)), int(p.get("ensemble_members", 1)))
        scored = config.of_method(method.name).work.scored if method.trains_policy else 1  # a step is n
        return run.data.metrics[Metric.PEAK_STEP] * scored * passes
    return float(run.data.params["n_comparisons"])


def _row(trial: FrozenTrial, config: Config) -> dict[str, Any]:
    attributes = trial.user_attrs
    cell = Space.of(config).cell(trial.params)
    method = METHODS[config.searched_method]
    fixed = {name: getattr(config, name) for name in searchable(method) if name not in cell}
    if "ensemble_members" in fixed:
        fixed["ensemble_members"] = config.ensemble_size
    fixed |= {} if method.needs_proxy else {"rm_size": IMPLICIT}
    values = trial.values or []
    return {
        "number": trial.number,
        "state": trial.state.name,
        **fixed,
        **cell,
        "peak_gold": attributes.get(Metric.PEAK_GOLD),
        "peak_gold_se": attributes.get(Metric.PEAK_GOLD_SE),
        "peak_kl": attributes.get(Metric.PEAK_KL),
        "cost": values[1] if len(values) > 1 else "",
        **{name: attributes.get(name, "") for name in COLUMNS[COLUMNS.index(TrialAttribute.UPDATES) :]},
    }
