"""Trials become policy runs, and Optuna learns what the runs say."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from mlproject.config.schema import load_config
from mlproject.curve import Curve
from mlproject.models.sizes import SIZES
from mlproject.names import Metric, Tag, TagPrefix, TrialAttribute
from mlproject.plotting.colours import pale, rm_colours
from mlproject.search import trials
from mlproject.search.law_pruner import PrunerDecision, points_of
from mlproject.search.space import Space
from mlproject.search.trials import COLUMNS, plan_trial, read_trials, run_trials, trial_rows, write_trials

GRID = {"n_trials": "3", "search_kl_coefs": "0,0.1", "search_rm_sizes": "1k,3k"}
SEARCH = "search-run"


@pytest.fixture(scope="module")
def config():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return load_config("smoke", GRID)


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize", study_name="night-1")


def ask(study, config, kl_coef=0, rm_size=1):
    """A running trial with these indices, and its policy run."""
    study.enqueue_trial({"kl_coef_index": kl_coef, "rm_size_index": rm_size})
    return plan_trial(config, study.ask(Space.of(config).distributions()), study.study_name)


def policy_run(run_id, peak=1.25, **tags):
    metrics = {Metric.PEAK_GOLD: peak, Metric.PEAK_GOLD_SE: 0.05, Metric.PEAK_KL: 4.0, Metric.PEAK_STEP: 3.0}
    data = SimpleNamespace(metrics=metrics, tags={Tag.MADE_BY: SEARCH, **tags}, params={"n_comparisons": "1500"})
    return SimpleNamespace(info=SimpleNamespace(run_id=run_id, status="FINISHED"), data=data)


class Scheduler:
    """Answers each step with a given run, or fails at it if there is none."""

    def __init__(self, runs):
        self._runs, self.failed, self.calls, self.tags = runs, None, [], []

    def run_job(self, job):
        """Run a job that needs steps once, or not at all."""
        for request in job:
            self.calls.append((request.steps, request.made_by, request.stop_rules))
            for step in request.steps:
                if step not in self._runs:
                    self.failed = step
                    job.throw(RuntimeError("the work failed"))
            with suppress(StopIteration):
                job.send({step: SimpleNamespace(run_id=self._runs[step].info.run_id) for step in request.steps})


@pytest.fixture
def run_batch(config, study, monkeypatch):
    """Runs planned trials, whose policy runs are given; returns the scheduler."""
    d_S = np.array([0.0, 1.0, 2.0, 2.5])
    gold_SP = (d_S * (1.5 - 0.4 * d_S))[:, None] + np.array([-0.1, 0.1])
    curve = Curve(np.array([0, 1, 3, 6]), d_S**2, d_S[:, None] + 0 * gold_SP, gold_SP)
    monkeypatch.setattr(trials, "curve_of", lambda client, run_id: curve)
    monkeypatch.setattr(trials, "all_runs", lambda client, experiments, query: [])

    def run(batch, runs, options=config, on=study, finished=(), existing=()):
        by_id = {each.info.run_id: each for each in (*runs.values(), *existing)}
        scheduler = Scheduler(runs)
        invocation = SimpleNamespace(
            config=options,
            client=SimpleNamespace(get_run=by_id.__getitem__, set_tag=lambda *tag: scheduler.tags.append(tag)),
            store=SimpleNamespace(policy_runs="1"),
            scheduler=scheduler,
        )
        scheduler.run_job(run_trials(invocation, on, batch, SEARCH, finished))
        return scheduler

    return run


def test_a_planned_trial_has_the_options_of_its_cell_and_names_study_and_trial(config, study):
    planned = ask(study, config, kl_coef=1, rm_size=0)
    assert planned.step.params["kl_coef"] == 0.1
    assert planned.step.inherited_params["rm_size"] == "1k"
    assert planned.step.tags[Tag.STUDY_NAME] == "night-1"
    assert planned.step.tags[Tag.TRIAL_NUMBER] == "0"
    assert study.trials[0].user_attrs[TrialAttribute.RM_PARAMS] == planned.step.inherited_params["rm_params"]


def test_a_complete_run_is_a_complete_trial_with_peak_gold_and_all_points(config, study, run_batch):
    planned = ask(study, config)
    scheduler = run_batch([planned], {planned.step: policy_run("a")})
    [trial] = study.trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 1.25)
    assert [(point.step, point.kl) for point in points_of(trial)] == [(0, 0.0), (1, 1.0), (3, 4.0), (6, 6.25)]
    assert trial.user_attrs[TrialAttribute.UPDATES] == 6
    assert trial.user_attrs[TrialAttribute.REUSED] is False
    [(steps, made_by, stop_rules)] = scheduler.calls
    assert (steps, made_by) == ([planned.step], SEARCH)
    assert list(stop_rules) == [planned.step]


@pytest.mark.parametrize(
    ("reason", "state"),
    [(PrunerDecision.CANNOT_WIN, TrialState.PRUNED), (PrunerDecision.PAST_PEAK, TrialState.COMPLETE)],
)
def test_a_run_that_ended_early_is_pruned_unless_it_was_past_its_peak(reason, state, config, study, run_batch):
    planned = ask(study, config)
    tags = {Tag.COMPLETE: "false", Tag.VERDICT: reason.value, TagPrefix.VERDICT + "predicted_upper": "0.93"}
    scheduler = run_batch([planned], {planned.step: policy_run("a", **tags)})
    [trial] = study.trials
    assert trial.state == state
    is_pruned, colour = state is TrialState.PRUNED, rm_colours(SIZES)[planned.step.inherited_params["rm_size"]]
    assert scheduler.tags == ([("a", "mlflow.runColor", pale(colour))] if is_pruned else []), "pruned runs are pale"
    assert trial.user_attrs[TrialAttribute.VERDICT] == reason.value
    assert trial.user_attrs["predicted_upper"] == "0.93"


def test_a_trial_with_the_parameters_of_a_finished_one_uses_its_run(config, study, run_batch):
    first = ask(study, config)
    run = policy_run("a", **{Tag.TRIAL_NUMBER: "0"})
    run_batch([first], {first.step: run})
    again, other = ask(study, config), ask(study, config, kl_coef=1)
    finished = study.get_trials(states=(TrialState.COMPLETE,))
    scheduler = run_batch([again, other], {other.step: policy_run("b")}, finished=finished, existing=[run])
    [(steps, *_)] = scheduler.calls
    assert steps == [other.step]
    assert [trial.user_attrs[TrialAttribute.RUN_ID] for trial in study.trials] == ["a", "a", "b"]
    assert [trial.user_attrs[TrialAttribute.REUSED] for trial in study.trials] == [False, True, False]


def test_only_the_trial_whose_run_failed_has_failed(config, study, run_batch):
    good, bad = ask(study, config), ask(study, config, kl_coef=1)
    with pytest.raises(RuntimeError, match="the work failed"):
        run_batch([good, bad], {good.step: policy_run("a")})
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING, TrialState.FAIL]


@pytest.mark.parametrize(("objective", "cost"), [("peak-and-updates", 3.0), ("peak-and-comparisons", 1500.0)])
def test_the_second_objective_is_the_cost(objective, cost, config, run_batch):
    two = optuna.create_study(directions=["maximize", "minimize"])
    options = config.replace(search_objective=objective)
    planned = ask(two, options)
    scheduler = run_batch([planned], {planned.step: policy_run("a")}, options, two)
    assert two.trials[0].values == [1.25, cost]
    assert scheduler.calls[0][2] == {}, "Optuna prunes for one objective only"
    assert trial_rows(two, options)[0]["cost"] == cost


def test_the_table_has_finished_and_failed_trials_and_survives_the_file(config, study, run_batch, tmp_path):
    planned = [ask(study, config, kl_coef, rm_size) for kl_coef, rm_size in ((0, 1), (1, 1), (1, 0))]
    tags = {Tag.COMPLETE: "false", Tag.VERDICT: PrunerDecision.CANNOT_WIN.value}
    run_batch(planned[:2], {planned[0].step: policy_run("a"), planned[1].step: policy_run("b", 0.4, **tags)})
    study.tell(planned[2].trial, state=TrialState.FAIL)
    ask(study, config)  # still running
    rows = trial_rows(study, config)
    assert [(row["number"], row["state"]) for row in rows] == [(0, "COMPLETE"), (1, "PRUNED"), (2, "FAIL")]
    assert [(row["rm_size"], row["kl_coef"]) for row in rows] == [("3k", 0.0), ("3k", 0.1), ("1k", 0.1)]
    assert [row["peak_gold"] for row in rows] == [1.25, 0.4, None]
    write_trials(rows, tmp_path / "trials.csv")
    first, pruned, failed = read_trials(tmp_path / "trials.csv")
    assert tuple(first) == tuple(name for name in COLUMNS if name != "align_beta")  # of another method
    assert (first["number"], first["peak_gold"], first["run_id"], first["reused"]) == (0.0, 1.25, "a", False)
    assert pruned["verdict"] == "cannot win"
    assert (failed["peak_gold"], failed["run_id"]) == (None, "")
