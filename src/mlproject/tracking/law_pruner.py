"""Old place of `mlproject.search.law_pruner`, with its old names, kept for one release."""

import warnings
from types import SimpleNamespace

import optuna

from mlproject.search import law_pruner
from mlproject.search.law_pruner import PrunerDecision
from mlproject.search.law_pruner import report_point as report

warnings.warn(
    "mlproject.tracking.law_pruner has moved to mlproject.search.law_pruner", DeprecationWarning, stacklevel=2
)

__all__ = ["LawPruner", "Verdict", "report"]


class Verdict:
    """Old names of the decisions."""

    GO_ON, CANNOT_WIN = PrunerDecision.CONTINUE, PrunerDecision.CANNOT_WIN
    PEAK_IS_BEHIND = PrunerDecision.PAST_PEAK


class LawPruner(law_pruner.LawPruner):
    """The pruner, with the old name of `evaluate`."""

    def verdict(self, study: optuna.Study, trial: optuna.Trial) -> SimpleNamespace:
        """What `evaluate` returns, with `kind` for `decision`."""
        evaluation = self.evaluate(study, trial)
        return SimpleNamespace(kind=evaluation.decision, **evaluation.as_dict())
