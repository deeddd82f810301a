"""The pruner as a stop rule: it decides as the pruner does in the study itself, and travels to a worker."""

from __future__ import annotations

import pickle

import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.pruners import BasePruner, ThresholdPruner
from optuna.trial import TrialState

from mlproject.curve import CurvePoint
from mlproject.laws.posterior import rise
from mlproject.names import TrialAttribute
from mlproject.optimization.stopping import StopDecision, follow
from mlproject.search.law_pruner import LawPruner, PrunerDecision, report_point
from mlproject.search.pruning_callback import PruningCallback

optuna.logging.set_verbosity(optuna.logging.ERROR)
SPACE = {"rm_size": IntDistribution(0, 3)}
ATTRIBUTES = {TrialAttribute.RM_PARAMS: 1_000}


def planted(peak_d: float, peak_gold: float, seed: int = 0) -> list[CurvePoint]:
    """Points of 60 updates whose gold peaks at a distance, with a standard error of .03."""
    rng = np.random.default_rng(seed)
    points = []
    for step in (*range(10), *range(12, 61, 3)):
        d = 5 * (step / 60) ** 0.6
        gold_P = peak_gold * rise(np.array(d / peak_d), 1.0) + 0.03 * np.sqrt(64) * rng.normal(size=64)
        points.append(CurvePoint(step, d**2, np.zeros(64), gold_P))
    return points


@pytest.fixture(scope="module")
def finished() -> list[optuna.trial.FrozenTrial]:
    """One finished trial, with a peak of 1.5 at d = 2.5."""
    study = optuna.create_study(direction="maximize")
    trial = study.ask(SPACE)
    trial.set_user_attr(TrialAttribute.RM_PARAMS, 1_000)
    points = planted(2.5, 1.5, seed=9)
    for point in points:
        report_point(trial, point.step, point.gold, point.gold_se, point.kl)
    study.tell(trial, max(point.gold for point in points))
    return study.get_trials()


def callback(pruner: BasePruner, finished) -> PruningCallback:
    return PruningCallback(pruner, finished, {"rm_size": 1}, SPACE, ATTRIBUTES)


@pytest.mark.parametrize(
    ("points", "kind"),
    [
        (planted(1.2, 0.3), PrunerDecision.CANNOT_WIN),
        (planted(1.8, 1.6), PrunerDecision.PAST_PEAK),
        (planted(9.0, 2.5), None),
    ],
    ids=["hopeless", "past its peak", "rising"],
)
def test_it_decides_as_the_pruner_does_in_a_study_with_the_same_trials(points, kind, finished) -> None:
    study = optuna.create_study(direction="maximize", pruner=LawPruner())
    study.add_trials(finished)
    study.enqueue_trial({"rm_size": 1})
    trial = study.ask(SPACE)
    trial.set_user_attr(TrialAttribute.RM_PARAMS, 1_000)
    expected = None
    for point in points:
        report_point(trial, point.step, point.gold, point.gold_se, point.kl)
        evaluation = study.pruner.evaluate(study, trial)
        if evaluation.decision is not PrunerDecision.CONTINUE:
            expected = StopDecision("pruner", evaluation.decision.value, point.step, evaluation.as_dict())
            break
    assert follow(points, [callback(LawPruner(), finished)]) == expected
    assert (expected.reason if expected else None) == (kind.value if kind else None)


def test_a_pruner_of_optuna_stops_without_reasons(finished) -> None:
    points = planted(2.5, 1.5)
    first = next(point for point in points if point.gold > 0.5)
    decision = follow(points, [callback(ThresholdPruner(upper=0.5), finished)])
    assert decision == StopDecision("pruner", "pruned", first.step)


def test_a_worker_process_receives_it_whole(finished) -> None:
    points = planted(1.2, 0.3)
    rule = pickle.loads(pickle.dumps(callback(LawPruner(), finished)))
    assert follow(points, [rule]) == follow(points, [callback(LawPruner(), finished)]) is not None


def test_the_trials_that_it_knows_are_left_as_they_were(finished) -> None:
    before = [(trial.state, dict(trial.intermediate_values)) for trial in finished]
    follow(planted(9.0, 2.5), [callback(LawPruner(), finished)])
    assert [(trial.state, dict(trial.intermediate_values)) for trial in finished] == before
    assert finished[0].state == TrialState.COMPLETE
