"""Trials and their runs: proposed in batches, carried out as policy runs, and told to Optuna as the runs say."""

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
from mlproject.names import Metric, Tag, TagPrefix, TrialAttribute
from mlproject.pipeline.step import Step
from mlproject.pipeline.study import plan_curve
from mlproject.search.law_pruner import PEAK_IS_BEHIND
from mlproject.search.pruning_callback import PruningCallback
from mlproject.search.space import GRIDS, Space
from mlproject.search.storage import new_pruner, new_sampler
from mlproject.tracking.runs import curve_of
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
"""Of `trials.csv`: what was tried, what came of it, and why a trial ended before its budget."""

_TEXTS = ("state", "rm_size", TrialAttribute.VERDICT, TrialAttribute.RUN_ID)


@dataclass(frozen=True)
class Planned:
    """A trial with the policy run that it stands for."""

    trial: Trial
    step: Step


def batches(study: optuna.Study, config: Config) -> Iterator[list[Trial]]:
    """Trials to carry out, in batches, until there are `n_trials`.

    A trial that was cut off is taken up under its own number with its own parameters, and each proposal has a sampler
    seeded by its trial number, so an interrupted search proposes what an undisturbed one would have.
    """
    space = Space.of(config).distributions()
    cut_off = {frozen.number: frozen._trial_id for frozen in study.get_trials(states=(TrialState.RUNNING,))}
    for start in range(0, config.n_trials, config.search_batch):
        batch = []
        for number in range(start, min(start + config.search_batch, config.n_trials)):
            is_new = number == len(study.get_trials(deepcopy=False))
            if number not in cut_off and not is_new:
                continue
            study.sampler = new_sampler(config, number)
            trial = study.ask(space) if is_new else Trial(study, cut_off[number])
            for name, distribution in space.items():  # a cut-off trial may lack its parameters
                trial.suggest_int(name, distribution.low, distribution.high)
            batch.append(trial)
        if batch:
            yield batch


def plan_trial(config: Config, trial: Trial, study_name: str) -> Planned:
    """The policy run that a trial asks for, marked with study and number."""
    cell = Space.of(config).cell(trial.params)
    step = plan_curve(config.replace(**cell), "ppo")
    trial.set_user_attr(TrialAttribute.RM_PARAMS, step.inherited_params["rm_params"])
    return Planned(
        trial, replace(step, tags={**step.tags, Tag.STUDY_NAME: study_name, Tag.TRIAL_NUMBER: str(trial.number)})
    )


def carry_out_trials(
    invocation: Invocation, study: optuna.Study, planned: Sequence[Planned], made_by: str, known: Sequence[FrozenTrial]
) -> None:
    """Carry a batch out and tell Optuna what came of it.

    Args:
        invocation: on whose behalf.
        study: of the trials.
        planned: the batch.
        made_by: run id of the search.
        known: finished trials that the pruner may know.
    """
    made = {one.step: run for one in planned if (run := _made_already(invocation, study, one, known)) is not None}
    stop_rules = {
        one.step: watch for one in planned if (watch := _pruning_callback(invocation.config, one, known)) is not None
    }
    todo = [one.step for one in planned if one.step not in made]
    try:
        outcomes = invocation.scheduler.run(todo, made_by=made_by, stop_rules=stop_rules) if todo else {}
    except Exception:  # the trial whose run failed has failed; its neighbours are taken up next time
        for one in planned:
            if one.step == invocation.scheduler.failed:
                study.tell(one.trial, state=TrialState.FAIL)
        raise
    for one in planned:
        run = made.get(one.step) or invocation.client.get_run(outcomes[one.step].run_id)
        _tell(invocation, study, one.trial, run, made_by)


def trial_rows(study: optuna.Study, config: Config) -> list[dict[str, Any]]:
    """One row per finished trial, with `COLUMNS`."""
    counted = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))[: config.n_trials]
    failed = [trial for trial in study.get_trials(states=(TrialState.FAIL,)) if trial.number < config.n_trials]
    return [_row(trial, config) for trial in sorted(counted + failed, key=lambda trial: trial.number)]


def write_trials(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write `trials.csv`."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def read_trials(path: Path) -> list[dict[str, Any]]:
    """Rows of `trials.csv`; numbers as numbers, and None where there is none."""

    def value(name: str, text: str) -> Any:
        if name in _TEXTS:
            return text
        if name == TrialAttribute.REUSED:
            return text == "True"
        return float(text) if text else None

    with path.open(newline="") as file:
        return [{name: value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def _pruning_callback(config: Config, planned: Planned, known: Sequence[FrozenTrial]) -> PruningCallback | None:
    pruner, trial = new_pruner(config), planned.trial
    if pruner is None:
        return None
    attributes = {TrialAttribute.RM_PARAMS: trial.user_attrs[TrialAttribute.RM_PARAMS]}
    return PruningCallback(pruner, known, trial.params, dict(trial.distributions), attributes)


def _made_already(
    invocation: Invocation, study: optuna.Study, planned: Planned, known: Sequence[FrozenTrial]
) -> Run | None:
    """A run that stands for the trial although it ended before its budget: the trial's own, or that of a trial alike.

    A trial alike that was ended for good reasons would be ended again: what is known has only grown since.
    """
    own = f"tags.`{Tag.STUDY_NAME}` = '{study.study_name}' and tags.`{Tag.TRIAL_NUMBER}` = '{planned.trial.number}'"
    found = all_runs(invocation.client, [invocation.store.policy_runs], f"attributes.status = 'FINISHED' and {own}")
    if found:
        return found[0]
    for trial in known:
        if trial.params == planned.trial.params and TrialAttribute.RUN_ID in trial.user_attrs:
            run = invocation.client.get_run(trial.user_attrs[TrialAttribute.RUN_ID])
            if run.info.status == "FINISHED":
                return run
    return None


def _tell(invocation: Invocation, study: optuna.Study, trial: Trial, run: Run, made_by: str) -> None:
    """Let the trial say what its run says: points, peak, cost, verdict, state."""
    metrics, tags, config = run.data.metrics, run.data.tags, invocation.config
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
    own = tags[Tag.MADE_BY] == made_by and tags.get(Tag.TRIAL_NUMBER, str(trial.number)) == str(trial.number)
    told = {
        TrialAttribute.RUN_ID: run.info.run_id,
        TrialAttribute.REUSED: not own,
        TrialAttribute.UPDATES: int(curve.steps_S[-1]),
        **{name: metrics[name] for name in (Metric.PEAK_GOLD, Metric.PEAK_GOLD_SE, Metric.PEAK_KL)},
        **{name: tags[TagPrefix.VERDICT + name] for name in _PREDICTIONS if TagPrefix.VERDICT + name in tags},
        TrialAttribute.VERDICT: tags.get(Tag.VERDICT, ""),
    }
    for name, value in told.items():
        trial.set_user_attr(name, value)
    if tags.get(Tag.COMPLETE) == "false" and tags.get(Tag.VERDICT) != PEAK_IS_BEHIND:
        study.tell(trial, state=TrialState.PRUNED)
    elif config.search_objective == "peak":
        study.tell(trial, metrics[Metric.PEAK_GOLD])
    else:
        study.tell(trial, [metrics[Metric.PEAK_GOLD], _cost(config, run)])


def _cost(config: Config, run: Run) -> float:
    """The second objective: updates to the peak, or comparisons bought."""
    if config.search_objective == "peak-and-updates":
        return run.data.metrics[Metric.PEAK_STEP]
    return float(run.data.params["n_comparisons"])


def _row(trial: FrozenTrial, config: Config) -> dict[str, Any]:
    attributes = trial.user_attrs
    cell = Space.of(config).cell(trial.params)
    fixed = {name: getattr(config, name) for name in GRIDS if name not in cell}
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
