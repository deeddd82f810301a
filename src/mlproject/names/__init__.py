"""Every name that the project writes to MLflow and Optuna. Stores, dashboards and users' scripts rely on them.

A name is never changed, only added. docs/tracking.md says what each one means; tests/names compares the two.
"""

from mlproject.names.artifacts import Artifact
from mlproject.names.metrics import Metric, MetricPrefix, Sign, SignPrefix
from mlproject.names.registry import Action, Alias, GateResult, Outcome, Status, VersionTag, VersionTagPrefix
from mlproject.names.runs import (
    STAGES,
    ExperimentSuffix,
    GoldKind,
    Kind,
    MlflowTag,
    Role,
    RolePrefix,
    Split,
    Stage,
    Tag,
    TagPrefix,
)
from mlproject.names.search import TrialAttribute

__all__ = [
    "STAGES",
    "Action",
    "Alias",
    "Artifact",
    "ExperimentSuffix",
    "GateResult",
    "GoldKind",
    "Kind",
    "Metric",
    "MetricPrefix",
    "MlflowTag",
    "Outcome",
    "Role",
    "RolePrefix",
    "Sign",
    "SignPrefix",
    "Split",
    "Stage",
    "Status",
    "Tag",
    "TagPrefix",
    "TrialAttribute",
    "VersionTag",
    "VersionTagPrefix",
]
