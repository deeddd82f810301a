"""Follows a trial's run point by point, in whichever process carries it out, and says when it need not go on.

The watch knows the trials that were finished when the trial was proposed, and no others: what it decides does not
depend on which of the trials that run side by side is faster, so that a search taken up again decides alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, Trial, TrialState

from mlproject.curve import CurvePoint
from mlproject.search.law_pruner import LawPruner, Verdict, report

GO_ON = ""
PRUNED = "pruned"
"""What a pruner that gives no reasons says."""


@dataclass
class Watch:
    """What a worker process needs to know about a trial.

    Attributes:
        pruner: decides.
        finished: trials known to it.
        params, distributions, attributes: of the trial itself.
    """

    pruner: BasePruner
    finished: Sequence[FrozenTrial]
    params: Mapping[str, int]
    distributions: Mapping[str, BaseDistribution]
    attributes: Mapping[str, Any]
    _said: Mapping[str, Any] = field(default_factory=dict)
    _study: optuna.Study | None = None

    @property
    def said(self) -> Mapping[str, Any]:
        """What the last answer rests on, by name."""
        return self._said

    def __call__(self, point: CurvePoint) -> str:
        """Take a curve point in.

        Returns:
            `GO_ON`, or why the run should end here.
        """
        study, trial = self._trial()
        report(trial, point.step, point.gold, point.gold_se, point.kl)
        seen = study.get_trials(deepcopy=False)[trial.number]
        if isinstance(self.pruner, LawPruner):
            judged = self.pruner.verdict(study, seen)
            self._said = judged.as_dict()
            return GO_ON if judged.kind is Verdict.GO_ON else judged.kind.value
        return PRUNED if self.pruner.prune(study, seen) else GO_ON

    def _trial(self) -> tuple[optuna.Study, Trial]:
        """The trial in a study of its own, in memory, beside those that were finished."""
        if self._study is None:
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            self._study = optuna.create_study(direction="maximize", pruner=self.pruner)
            self._study.add_trials(list(self.finished))
            own = optuna.create_trial(
                state=TrialState.RUNNING,
                params=dict(self.params),
                distributions=dict(self.distributions),
                user_attrs=dict(self.attributes),
            )
            self._study.add_trial(own)
        last = self._study.get_trials(deepcopy=False)[-1]
        return self._study, Trial(self._study, last._trial_id)
