"""The pruner of a search as a stop rule: it ends a trial's run in whichever process the run is executed.

It knows the trials that were finished when the trial was proposed, and no others: a decision does not depend on which
of the trials that run side by side is faster, so a resumed search decides as an undisturbed one would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, Trial, TrialState

from mlproject.curve import CurvePoint
from mlproject.optimization.stopping import PRUNER, StopDecision
from mlproject.search.law_pruner import LawPruner, PrunerDecision, report_point

PRUNED = "pruned"
"""The reason of a pruner that gives none."""


@dataclass
class PruningCallback:
    """A pruner with all that a worker process must know of one trial.

    Attributes:
        pruner: decides; a `LawPruner` says why.
        finished: the trials that it may learn from.
        params: the trial's parameters.
        distributions: what these were drawn from.
        attributes: the trial's user attributes.
    """

    pruner: BasePruner
    finished: Sequence[FrozenTrial]
    params: Mapping[str, int]
    distributions: Mapping[str, BaseDistribution]
    attributes: Mapping[str, Any]
    _study: optuna.Study | None = None

    def __call__(self, point: CurvePoint) -> StopDecision | None:
        """Report a curve point to the trial and ask the pruner."""
        study, trial = self._trial()
        report_point(trial, point.step, point.gold, point.gold_se, point.kl)
        reported = study.get_trials(deepcopy=False)[trial.number]
        if isinstance(self.pruner, LawPruner):
            evaluation = self.pruner.evaluate(study, reported)
            if evaluation.decision is PrunerDecision.CONTINUE:
                return None
            return StopDecision(PRUNER, evaluation.decision.value, point.step, evaluation.as_dict())
        return StopDecision(PRUNER, PRUNED, point.step) if self.pruner.prune(study, reported) else None

    def _trial(self) -> tuple[optuna.Study, Trial]:
        """The trial in a study of its own in memory, beside those that were finished."""
        if self._study is None:
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            self._study = optuna.create_study(direction="maximize", pruner=self.pruner)
            self._study.add_trials(list(self.finished))
            running = optuna.create_trial(
                state=TrialState.RUNNING,
                params=dict(self.params),
                distributions=dict(self.distributions),
                user_attrs=dict(self.attributes),
            )
            self._study.add_trial(running)
        last = self._study.get_trials(deepcopy=False)[-1]
        return self._study, Trial(self._study, last._trial_id)
