"""LawPruner on planted curves: it ends trials that cannot win or are past their peak, and no others."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from mlproject.laws.posterior import rise
from mlproject.names import TrialAttribute
from mlproject.search.law_pruner import LawPruner, PrunerDecision, TrialEvaluation, points_of, report_point

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
STEPS = np.array([*range(10), *range(12, 61, 3)])
SE = 0.03
optuna.logging.set_verbosity(optuna.logging.ERROR)


def planted(peak_d, peak_gold, seed=0, final_d=5.0, noise=SE):
    """A curve of 60 updates: (update, gold, its standard error, KL) at every point. Errors correlate by .4."""
    rng = np.random.default_rng(seed)
    d_S = final_d * (STEPS / 60) ** 0.6
    error_S = noise * (np.sqrt(0.4) * rng.normal() + np.sqrt(0.6) * rng.normal(size=len(STEPS)))
    return list(zip(STEPS, peak_gold * rise(d_S / peak_d, 1.0) + error_S, np.full(len(STEPS), SE), d_S**2, strict=True))


def new_study(pruner, **options):
    return optuna.create_study(direction="maximize", pruner=pruner, **options)


def run_trial(study, curve, size=None) -> tuple[TrialEvaluation, int]:
    """One trial, ended as the pruner decides, with its highest gold as value. Returns the last evaluation and step."""
    trial = study.ask()
    if size is not None:
        trial.set_user_attr(TrialAttribute.RM_PARAMS, size)
    for step, gold, gold_se, kl in curve:
        report_point(trial, step, gold, gold_se, kl)
        evaluation = study.pruner.evaluate(study, trial)
        if evaluation.decision is not PrunerDecision.CONTINUE:
            break
    if evaluation.decision is PrunerDecision.CANNOT_WIN:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, max(gold for at, gold, *_ in curve if at <= step))
    return evaluation, int(step)


def finished_study(sizes=SIZES, pruner=None):
    """One finished trial of each size, the larger the better."""
    study = new_study(pruner or LawPruner(confidence=1 - 1e-9))  # ends no trial as hopeless
    for seed, size in enumerate(sizes):
        run_trial(study, planted(1.5 + seed / 3, 0.4 + 0.2 * seed, seed), size)
    study.pruner = pruner or LawPruner()
    return study


def test_the_first_trial_continues_while_gold_rises():
    evaluation, step = run_trial(new_study(LawPruner()), planted(9.0, 1.0), 1_000)
    assert evaluation.decision is PrunerDecision.CONTINUE and step == 60
    assert np.isnan(evaluation.best_peak_gold)
    assert evaluation.predicted_peak_gold < evaluation.predicted_upper


def test_the_peak_is_recognised_soon_after_it_and_not_before_even_in_the_first_trial():
    curve = planted(2.0, 0.8)
    peak_step = max(step for step, _, _, kl in curve if kl < 4)
    evaluation, step = run_trial(new_study(LawPruner()), curve)
    assert evaluation.decision is PrunerDecision.PAST_PEAK
    assert peak_step < step <= peak_step + 12
    assert evaluation.p_past_peak >= 0.95


def test_a_hopeless_trial_ends_early_with_the_numbers_behind_the_decision():
    study = finished_study()
    evaluation, step = run_trial(study, planted(1.5, 0.4, seed=11), 1_000)
    assert evaluation.decision is PrunerDecision.CANNOT_WIN and step <= 6
    assert evaluation.as_dict()["best_peak_gold"] == study.best_value
    assert study.best_value > evaluation.predicted_upper > evaluation.predicted_peak_gold
    assert study.trials[-1].state == TrialState.PRUNED


def test_the_best_trial_is_not_ended_before_its_peak():
    evaluation, step = run_trial(finished_study(), planted(3.2, 1.5, seed=12), 100_000)
    assert evaluation.decision is not PrunerDecision.CANNOT_WIN and step >= 30


def test_a_trial_that_a_penalty_keeps_near_the_start_cannot_win():
    slow = planted(3.0, 1.4, seed=13, final_d=0.8)
    ends = [run_trial(finished_study(pruner=LawPruner(budget=budget)), slow, 100_000) for budget in (60, None)]
    assert ends[0][0].decision is PrunerDecision.CANNOT_WIN and ends[0][1] <= 30
    assert ends[1][0].decision is PrunerDecision.CONTINUE


def test_trials_of_one_size_and_trials_without_a_size():
    for sizes in ([5_000] * 4, [None] * 4):
        study = new_study(LawPruner())
        first, *_ = [run_trial(study, planted(2.5, 1.2, seed), sizes[0])[0] for seed in range(4)]
        assert first.decision is not PrunerDecision.CANNOT_WIN
        evaluation, step = run_trial(study, planted(1.2, 0.4, seed=5), sizes[0])
        assert evaluation.decision is PrunerDecision.CANNOT_WIN and step <= 15


def test_the_size_may_be_a_function_of_the_trial():
    pruner = LawPruner(rm_params=lambda trial: SIZES[trial.number % len(SIZES)])
    study = finished_study(sizes=[None] * len(SIZES), pruner=pruner)
    assert run_trial(study, planted(1.5, 0.4, seed=11))[0].decision is PrunerDecision.CANNOT_WIN


def test_under_two_in_a_hundred_prunings_are_wrong():
    """Searches over random RMs: pruning was wrong if the complete curve exceeds the final best value."""
    pruned = wrong = 0
    for repeat in range(14):
        rng, study, lost = np.random.default_rng(repeat), new_study(LawPruner(budget=60)), []
        for number in range(12):
            size = int(rng.choice(SIZES))
            level = np.log10(size) - 3
            peak_d, peak_gold = np.exp(0.5 + 0.2 * level + 0.2 * rng.normal()), 0.5 + 0.3 * level + 0.15 * rng.normal()
            curve = planted(peak_d, peak_gold, seed=100 * repeat + number)
            evaluation, _ = run_trial(study, curve, size)
            if evaluation.decision is PrunerDecision.CANNOT_WIN:
                lost.append(max(gold for _, gold, *_ in curve))
        pruned += len(lost)
        wrong += sum(peak > study.best_value for peak in lost)
    assert pruned > 80
    assert wrong / pruned < 0.02


def objective(trial):
    size = SIZES[trial.suggest_int("size", 0, 4)]
    trial.set_user_attr(TrialAttribute.RM_PARAMS, size)
    best, level = -np.inf, np.log10(size) - 3
    for point in planted(1.5 + level / 2, 0.4 + 0.4 * level, trial.number, trial.suggest_float("final_d", 0.5, 5)):
        report_point(trial, *point)
        best = max(best, point[1])
        if trial.should_prune():
            if trial.study.pruner.evaluate(trial.study, trial).decision is PrunerDecision.PAST_PEAK:
                return best
            raise optuna.TrialPruned
    return best


def test_in_a_study_with_tpe_it_finds_the_best_for_less_and_does_the_same_twice():
    def states():
        study = new_study(LawPruner(budget=60), sampler=optuna.samplers.TPESampler(seed=1))
        study.optimize(objective, n_trials=20)
        return [(trial.state, trial.last_step) for trial in study.trials], study.best_value

    first, best = states()
    assert (first, best) == states()
    assert best > 1.1
    assert sum(step for _, step in first) < 0.6 * 60 * len(first)
    assert {state for state, _ in first} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_decisions_do_not_depend_on_the_storage(tmp_path):
    studies = [
        new_study(LawPruner(budget=60), sampler=optuna.samplers.RandomSampler(seed=2), storage=storage)
        for storage in (None, f"sqlite:///{tmp_path}/optuna.db")
    ]
    for study in studies:
        study.optimize(objective, n_trials=5)
    memory, rdb = ([(trial.state, trial.last_step) for trial in study.trials] for study in studies)
    assert memory == rdb
    np.testing.assert_array_equal(*([p.kl for p in points_of(study.trials[0])] for study in studies))


def test_points_without_kl_are_left_out_and_a_trial_without_points_continues():
    study = new_study(LawPruner())
    trial = study.ask()
    trial.report(0.3, 1)
    assert study.pruner.evaluate(study, trial).decision is PrunerDecision.CONTINUE
    assert not trial.should_prune()
    report_point(trial, 2, 0.4, float("nan"), 1.0)
    report_point(trial, 3, 0.5, SE, 1.5)
    assert [point.step for point in points_of(study.trials[0])] == [3]


def test_a_study_that_minimizes_is_refused():
    study = optuna.create_study(direction="minimize", pruner=LawPruner())
    trial = study.ask()
    with pytest.raises(ValueError, match="maximizes"):
        report_point(trial, 0, 0.0, SE, 0.0)
        trial.should_prune()
