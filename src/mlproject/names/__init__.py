"""Every name that the project writes to MLflow and Optuna. Stores, dashboards and users' scripts rely on them.

A name is never changed, only added. docs/tracking.md lists them all; `tests/names` compares the two.
"""

from mlproject.names.artifacts import Artifact, ReportFigure
from mlproject.names.metric_prefixes import MetricPrefix
from mlproject.names.metrics import CheckpointMetric, Metric
from mlproject.names.registry import Action, Alias, Outcome, PromotionResult, Status, VersionTag, VersionTagPrefix
from mlproject.names.runs import STAGES, ExperimentSuffix, GoldKind, Kind, Role, RolePrefix, Split, Stage
from mlproject.names.search import TrialAttribute
from mlproject.names.statistics import Diagnostic, Statistic, StatisticPrefix
from mlproject.names.study import StudyMetric
from mlproject.names.tags import MlflowTag, Tag, TagPrefix

__all__ = [
    "STAGES",
    "Action",
    "Alias",
    "Artifact",
    "CheckpointMetric",
    "Diagnostic",
    "ExperimentSuffix",
    "GoldKind",
    "Kind",
    "Metric",
    "MetricPrefix",
    "MlflowTag",
    "Outcome",
    "PromotionResult",
    "ReportFigure",
    "Role",
    "RolePrefix",
    "Split",
    "Stage",
    "Statistic",
    "StatisticPrefix",
    "Status",
    "StudyMetric",
    "Tag",
    "TagPrefix",
    "TrialAttribute",
    "VersionTag",
    "VersionTagPrefix",
]
