"""Measure, predict and prevent reward-model over-optimization, tracked from end to end.

The names below are the public Python interface. Each is imported when it is first used, so that `import mlproject` is
fast and needs neither torch nor MLflow.

In a notebook: `open_study`, `plot`, `fit`, `best_of_n`.

Curves and laws (numpy alone): `CurvePoint`, `Curve`, `points_from_summaries`; `FORMS`, `Form`, `Fit`;
`Forecast`, `Prediction`, `Prior`.

Estimators (numpy alone): `BestOfN`, `best_of_n_weights`, `best_of_n_kl_bound`, `beirami_kl`, `effective_sample_size`,
`n_grid`, `hedged_n`, `k1`, `k2`, `k3`, `kl_from_logits`.

Monitoring (numpy alone): `OveroptimizationMonitor`, `MonitorReading`, `AlarmRule`, `SignalRule`, `SIGNALS`.

Live policies: `OveroptimizationCallback`, `PolicyEvaluator`, `as_reference`, `PromptFormat`, `RewardModel`,
`load_reward_model`, `FunctionScorer`, `trl_reward`, `EnsembleScorer`, `ShapedScorer`,
`as_reward_function`.

Search with Optuna: `LawPruner`, `PrunerDecision`, `report_point`.

Configuration and errors: `load_config`, `Config`, `UserError`, `NotFiniteError`, `RefusedError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlproject.config.schema import Config as Config
    from mlproject.config.schema import load_config as load_config
    from mlproject.cures.reward_function import as_reward_function as as_reward_function
    from mlproject.cures.scorers import EnsembleScorer as EnsembleScorer
    from mlproject.cures.scorers import ShapedScorer as ShapedScorer
    from mlproject.curve import Curve as Curve
    from mlproject.curve import CurvePoint as CurvePoint
    from mlproject.errors import NotFiniteError as NotFiniteError
    from mlproject.errors import RefusedError as RefusedError
    from mlproject.errors import UserError as UserError
    from mlproject.estimators import BestOfN as BestOfN
    from mlproject.estimators import beirami_kl as beirami_kl
    from mlproject.estimators import best_of_n_kl_bound as best_of_n_kl_bound
    from mlproject.estimators import best_of_n_weights as best_of_n_weights
    from mlproject.estimators import effective_sample_size as effective_sample_size
    from mlproject.estimators import hedged_n as hedged_n
    from mlproject.estimators import k1 as k1
    from mlproject.estimators import k2 as k2
    from mlproject.estimators import k3 as k3
    from mlproject.estimators import kl_from_logits as kl_from_logits
    from mlproject.estimators import n_grid as n_grid
    from mlproject.integrations.trainer_callback import OveroptimizationCallback as OveroptimizationCallback
    from mlproject.laws.curve_fit import fit as fit
    from mlproject.laws.fits import Fit as Fit
    from mlproject.laws.forecast import Forecast as Forecast
    from mlproject.laws.forecast import Prediction as Prediction
    from mlproject.laws.forms import FORMS as FORMS
    from mlproject.laws.forms import Form as Form
    from mlproject.laws.prior import Prior as Prior
    from mlproject.laws.summaries import points_from_summaries as points_from_summaries
    from mlproject.models.live_policy import as_reference as as_reference
    from mlproject.models.prompt_format import PromptFormat as PromptFormat
    from mlproject.models.reward_model import RewardModel as RewardModel
    from mlproject.models.scorers import FunctionScorer as FunctionScorer
    from mlproject.models.scorers import load_reward_model as load_reward_model
    from mlproject.monitoring.alarms import SignalRule as SignalRule
    from mlproject.monitoring.monitor import AlarmRule as AlarmRule
    from mlproject.monitoring.monitor import MonitorReading as MonitorReading
    from mlproject.monitoring.monitor import OveroptimizationMonitor as OveroptimizationMonitor
    from mlproject.monitoring.policy_evaluator import PolicyEvaluator as PolicyEvaluator
    from mlproject.monitoring.signals import SIGNALS as SIGNALS
    from mlproject.report.notebook import open_study as open_study
    from mlproject.report.notebook import plot as plot
    from mlproject.rewards.trl_reward import trl_reward as trl_reward
    from mlproject.samples.arrays import best_of_n as best_of_n
    from mlproject.search.law_pruner import LawPruner as LawPruner
    from mlproject.search.law_pruner import PrunerDecision as PrunerDecision
    from mlproject.search.law_pruner import report_point as report_point

__version__ = "0.2.0"

_PUBLIC = {
    "config.schema": ("Config", "load_config"),
    "cures.reward_function": ("as_reward_function",),
    "cures.scorers": ("EnsembleScorer", "ShapedScorer"),
    "curve": ("Curve", "CurvePoint"),
    "errors": ("NotFiniteError", "RefusedError", "UserError"),
    "estimators": (
        "BestOfN", "beirami_kl", "best_of_n_kl_bound", "best_of_n_weights", "effective_sample_size", "hedged_n", "k1",
        "k2", "k3", "kl_from_logits", "n_grid",
    ),
    "integrations.trainer_callback": ("OveroptimizationCallback",),
    "laws.curve_fit": ("fit",),
    "laws.fits": ("Fit",),
    "laws.forecast": ("Forecast", "Prediction"),
    "laws.forms": ("FORMS", "Form"),
    "laws.prior": ("Prior",),
    "laws.summaries": ("points_from_summaries",),
    "models.live_policy": ("as_reference",),
    "models.prompt_format": ("PromptFormat",),
    "models.reward_model": ("RewardModel",),
    "models.scorers": ("FunctionScorer", "load_reward_model"),
    "monitoring.alarms": ("SignalRule",),
    "monitoring.monitor": ("AlarmRule", "MonitorReading", "OveroptimizationMonitor"),
    "monitoring.policy_evaluator": ("PolicyEvaluator",),
    "monitoring.signals": ("SIGNALS",),
    "rewards.trl_reward": ("trl_reward",),
    "report.notebook": ("open_study", "plot"),
    "samples.arrays": ("best_of_n",),
    "search.law_pruner": ("LawPruner", "PrunerDecision", "report_point"),
}  # fmt: skip
"""Public names by the module that defines them; a test compares them with the imports for type checkers above."""

_MODULE_OF = {name: f"mlproject.{module}" for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE_OF)


if not TYPE_CHECKING:  # type checkers read the imports above, and report names that do not exist

    def __getattr__(name):
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'mlproject' has no attribute {name!r}")
        if _MODULE_OF[name].startswith("mlproject.laws."):
            import_module("mlproject.optimization")  # so that laws know every registered method by its name
        value = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = value  # the next access does not call this function
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
