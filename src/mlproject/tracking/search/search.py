"""The search: Optuna looks for the KL coefficient and RM size with the highest peak gold.

Each trial is one PPO policy run. Both parameters are searched as indices into ordered grids: a log scale cannot hold a
coefficient of 0, and a categorical parameter has no order. Optuna keeps its own storage, never MLflow's database.
"""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from mlproject.config import Config
from mlproject.errors import UserError
from mlproject.steps.policy_run import policy_run
from mlproject.steps.proxy_rm import proxy_rm
from mlproject.steps.step import Step
from mlproject.tracking.runs import MADE_BY, StepRun, carry_out
from mlproject.tracking.store import Store, hide_password

if TYPE_CHECKING:
    from mlproject.study import Plan
    from mlproject.tracking.invocation import Invocation

TRIALS = "trials.csv"
STUDY_NAME, TRIAL_NUMBER = "optuna.study_name", "optuna.trial_number"
COLUMNS = (
    "number", "state", "rm_size", "kl_coef", "peak_gold", "peak_gold_se", "peak_kl", "run_id", "reused",
)  # fmt: skip
_RANDOM_TRIALS = 4
"""Trials drawn at random before the sampler starts to model them."""


def search_step(config: Config, plan: Plan) -> Step:
    """The search as a step: its run lists the trials."""
    return Step(
        name=f"search {config.study}",
        kind="search",
        version=1,
        params={**_problem(config), "n_trials": config.n_trials},
        inputs={"comparisons": plan.comparisons, "pool": plan.pool},
        work=__name__,
    )


def search(invocation: Invocation, plan: Plan) -> Step:
    """Carry the search out, or find it made, or take it up where it was cut off.

    Returns:
        the step; its run has the artifact `trials.csv`.
    """
    config, conductor = invocation.config, invocation.conductor
    step = search_step(config, plan)
    run = conductor.open_here(step)
    if run is None:
        return step

    def work(run: StepRun) -> None:
        study = _open_study(config, step, invocation.store)
        run.set_tags({STUDY_NAME: study.study_name})
        for batch in _batches(study, config):
            wanted = [_trial_step(config, plan, trial) for trial in batch]
            outcomes = conductor.run(wanted, made_by=run.run_id)
            for trial, trial_step in zip(batch, wanted, strict=True):
                made = invocation.client.get_run(outcomes[trial_step].run_id)
                run_id, metrics, tags = made.info.run_id, made.data.metrics, made.data.tags
                mine = tags[MADE_BY] == run.run_id and tags.get(TRIAL_NUMBER, str(trial.number)) == str(trial.number)
                if mine:
                    invocation.client.set_tag(run_id, STUDY_NAME, study.study_name)
                    invocation.client.set_tag(run_id, TRIAL_NUMBER, trial.number)
                trial.set_user_attr("run_id", run_id)
                trial.set_user_attr("reused", not mine)
                for name in ("peak/gold_se", "peak/kl"):
                    trial.set_user_attr(name, metrics[name])
                study.tell(trial, metrics["peak/gold"])
            run.progress(len(study.trials) / max(1, config.n_trials))
        trials = study.get_trials(states=(TrialState.COMPLETE,))
        rows = [_row(trial, config) for trial in trials if trial.number < config.n_trials]
        with (run.folder / TRIALS).open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        if rows:
            best = max(rows, key=lambda row: row["peak_gold"])
            run.log_metrics({"best/peak_gold": best["peak_gold"], "best/kl_coef": best["kl_coef"]})
            run.set_tags({"best.rm_size": best["rm_size"], "best.run_id": best["run_id"]})

    carry_out(run, work)
    conductor.closed_here(step, run)
    return step


def read_trials(path: Path) -> list[dict[str, Any]]:
    """Rows of `trials.csv`, numbers as numbers."""
    numbers = ("number", "kl_coef", "peak_gold", "peak_gold_se", "peak_kl")
    with path.open(newline="") as file:
        return [
            {k: float(v) if k in numbers else v == "True" if k == "reused" else v for k, v in row.items()}
            for row in csv.DictReader(file)
        ]


def _problem(config: Config) -> dict[str, Any]:
    """What the trials of a study have in common: another problem is another study, whatever its name."""
    return {
        **config.select("study", "search_kl_coefs", "search_rm_sizes", "search_batch", "seed"),
        "policy_run": policy_run_options(config),
    }


def policy_run_options(config: Config) -> str:
    """All options of proxies and PPO that trials share, as one text."""
    from mlproject.optimization import METHODS

    names = [name for name in METHODS["ppo"].options if name != "kl_coef"]
    return json.dumps(config.select(*names, "rm_epochs", "rm_batch_size", "rm_lr", "mixed_precision"))


def open_storage(config: Config, store: Store) -> optuna.storages.RDBStorage:
    """Optuna's own storage: `storage`, or `optuna.db` beside the SQLite tracking store.

    Raises:
        UserError: where there is none; asked before any work, so that a study does not fail at its end.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if not config.storage and store.folder is None:
        raise UserError(
            "storage: with a tracking server, name Optuna's storage: storage=URL (or n_trials=0: no search)"
        )
    try:
        return optuna.storages.RDBStorage(config.storage or f"sqlite:///{store.folder}/optuna.db")
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"storage={hide_password(config.storage)}: cannot be opened ({reason}); give a database URL"
        ) from None


def _open_study(config: Config, step: Step, store: Store) -> optuna.Study:
    problem = Step("", "search", step.version, _problem(config), "", step.inputs)
    return optuna.create_study(
        study_name=f"{config.study}-{problem.fingerprint[:8]}",
        storage=open_storage(config, store),
        direction="maximize",
        load_if_exists=True,
    )


def _batches(study: optuna.Study, config: Config) -> Iterator[list[Trial]]:
    """Trials to carry out, in batches, until there are `n_trials`.

    A trial that was cut off is taken up under its own number with its own parameters, and each proposal has a sampler
    seeded by its trial number, so an interrupted search proposes what an undisturbed one would have.
    """
    cut_off = {
        frozen.number: Trial(study, frozen._trial_id)
        for frozen in study.get_trials(states=(TrialState.RUNNING,))
        if frozen.number < config.n_trials
    }
    for start in range(0, config.n_trials, config.search_batch):
        batch = []
        for number in range(start, min(start + config.search_batch, config.n_trials)):
            if number in cut_off:
                batch.append(cut_off[number])
            elif number == len(study.get_trials(deepcopy=False)):
                study.sampler = optuna.samplers.TPESampler(
                    seed=1000 * config.seed + number, n_startup_trials=_RANDOM_TRIALS, multivariate=True
                )
                batch.append(study.ask(_space(config)))
        for trial in batch:
            for name, distribution in _space(config).items():  # a cut-off trial may lack its parameters
                trial.suggest_int(name, distribution.low, distribution.high)
        if batch:
            yield batch


def _space(config: Config) -> dict[str, IntDistribution]:
    return {
        "kl_coef_index": IntDistribution(0, len(config.search_kl_coefs) - 1),
        "rm_size_index": IntDistribution(0, len(config.search_rm_sizes) - 1),
    }


def _trial_step(config: Config, plan: Plan, trial: Trial) -> Step:
    size, kl_coef = _cell(config, trial.params)
    proxy = proxy_rm(config, plan.comparisons, size, config.seed)
    return policy_run(config.replace(kl_coef=kl_coef), proxy, plan.pool, "ppo", config.seed)


def _cell(config: Config, params: dict[str, int]) -> tuple[str, float]:
    return config.search_rm_sizes[params["rm_size_index"]], config.search_kl_coefs[params["kl_coef_index"]]


def _row(trial: FrozenTrial, config: Config) -> dict[str, Any]:
    size, kl_coef = _cell(config, trial.params)
    values: Sequence[Any] = (
        trial.number, trial.state.name, size, kl_coef, trial.value, trial.user_attrs.get("peak/gold_se"),
        trial.user_attrs.get("peak/kl"), trial.user_attrs.get("run_id"), trial.user_attrs.get("reused"),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
