"""LawPruner on planted curves: it ends what cannot win and what is past its peak, and nothing else."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from mlproject.laws.posterior import rise
from mlproject.names import TrialAttribute
from mlproject.search.law_pruner import Judgement, LawPruner, Verdict, points_of, report

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


def follow(study, curve, size=None) -> tuple[Judgement, int]:
    """Run one trial by its verdicts; tell the highest gold seen. Returns the last verdict and its update."""
    trial = study.ask()
    if size is not None:
        trial.set_user_attr(TrialAttribute.RM_PARAMS, size)
    for step, gold, gold_se, kl in curve:
        report(trial, step, gold, gold_se, kl)
        judged = study.pruner.verdict(study, trial)
        if judged.kind is not Verdict.GO_ON:
            break
    if judged.kind is Verdict.CANNOT_WIN:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, max(gold for at, gold, *_ in curve if at <= step))
    return judged, int(step)


def finished_study(sizes=SIZES, pruner=None):
    """One finished trial of each size, the larger the better."""
    study = new_study(pruner or LawPruner(confidence=1 - 1e-9))  # no trial is hopeless
    for seed, size in enumerate(sizes):
        follow(study, planted(1.5 + seed / 3, 0.4 + 0.2 * seed, seed), size)
    study.pruner = pruner or LawPruner()
    return study


def test_the_first_trial_goes_on_while_it_rises():
    judged, step = follow(new_study(LawPruner()), planted(9.0, 1.0), 1_000)
    assert judged.kind is Verdict.GO_ON and step == 60
    assert np.isnan(judged.best_peak_gold)
    assert judged.predicted_peak_gold < judged.predicted_upper


def test_a_peak_behind_is_seen_soon_after_it_and_not_before_even_by_the_first_trial():
    curve = planted(2.0, 0.8)
    peak_step = max(step for step, _, _, kl in curve if kl < 4)
    judged, step = follow(new_study(LawPruner()), curve)
    assert judged.kind is Verdict.PEAK_IS_BEHIND
    assert peak_step < step <= peak_step + 12
    assert judged.p_past_peak >= 0.95


def test_a_hopeless_trial_ends_early_and_says_why():
    study = finished_study()
    judged, step = follow(study, planted(1.5, 0.4, seed=11), 1_000)
    assert judged.kind is Verdict.CANNOT_WIN and step <= 6
    assert judged.as_dict()["best_peak_gold"] == study.best_value > judged.predicted_upper > judged.predicted_peak_gold
    assert study.trials[-1].state == TrialState.PRUNED


def test_the_best_trial_is_not_ended_before_its_peak():
    judged, step = follow(finished_study(), planted(3.2, 1.5, seed=12), 100_000)
    assert judged.kind is not Verdict.CANNOT_WIN and step >= 30


def test_a_trial_that_its_penalty_keeps_near_the_start_cannot_win():
    slow = planted(3.0, 1.4, seed=13, final_d=0.8)
    ends = [follow(finished_study(pruner=LawPruner(budget=budget)), slow, 100_000) for budget in (60, None)]
    assert ends[0][0].kind is Verdict.CANNOT_WIN and ends[0][1] <= 30
    assert ends[1][0].kind is Verdict.GO_ON


def test_trials_of_one_size_and_trials_without_a_size():
    for sizes in ([5_000] * 4, [None] * 4):
        study = new_study(LawPruner())
        for seed in range(4):
            assert follow(study, planted(2.5, 1.2, seed), sizes[0])[0].kind is not Verdict.CANNOT_WIN or seed
        judged, step = follow(study, planted(1.2, 0.4, seed=5), sizes[0])
        assert judged.kind is Verdict.CANNOT_WIN and step <= 15


def test_size_may_be_told_by_a_function_of_the_trial():
    told = LawPruner(rm_params=lambda trial: SIZES[trial.number % len(SIZES)])
    study = finished_study(sizes=[None] * len(SIZES), pruner=told)
    assert follow(study, planted(1.5, 0.4, seed=11))[0].kind is Verdict.CANNOT_WIN


def test_under_two_in_a_hundred_prunings_are_wrong():
    """Searches over random RMs: a pruning is wrong if the whole curve would have shown more than the final best."""
    pruned = wrong = 0
    for repeat in range(14):
        rng, study, lost = np.random.default_rng(repeat), new_study(LawPruner(budget=60)), []
        for number in range(12):
            size = int(rng.choice(SIZES))
            level = np.log10(size) - 3
            peak_d, peak_gold = np.exp(0.5 + 0.2 * level + 0.2 * rng.normal()), 0.5 + 0.3 * level + 0.15 * rng.normal()
            curve = planted(peak_d, peak_gold, seed=100 * repeat + number)
            judged, _ = follow(study, curve, size)
            if judged.kind is Verdict.CANNOT_WIN:
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
        report(trial, *point)
        best = max(best, point[1])
        if trial.should_prune():
            if trial.study.pruner.verdict(trial.study, trial).kind is Verdict.PEAK_IS_BEHIND:
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


def test_the_storage_makes_no_difference(tmp_path):
    studies = [
        new_study(LawPruner(budget=60), sampler=optuna.samplers.RandomSampler(seed=2), storage=storage)
        for storage in (None, f"sqlite:///{tmp_path}/optuna.db")
    ]
    for study in studies:
        study.optimize(objective, n_trials=5)
    memory, rdb = ([(trial.state, trial.last_step) for trial in study.trials] for study in studies)
    assert memory == rdb
    np.testing.assert_array_equal(*([p.kl for p in points_of(study.trials[0])] for study in studies))


def test_points_without_kl_are_left_out_and_a_trial_without_points_goes_on():
    study = new_study(LawPruner())
    trial = study.ask()
    trial.report(0.3, 1)
    assert study.pruner.verdict(study, trial).kind is Verdict.GO_ON
    assert not trial.should_prune()
    report(trial, 2, 0.4, float("nan"), 1.0)
    report(trial, 3, 0.5, SE, 1.5)
    assert [point.step for point in points_of(study.trials[0])] == [3]


def test_a_study_that_minimizes_is_refused():
    study = optuna.create_study(direction="minimize", pruner=LawPruner())
    trial = study.ask()
    with pytest.raises(ValueError, match="maximizes"):
        report(trial, 0, 0.0, SE, 0.0)
        trial.should_prune()
