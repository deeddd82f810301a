"""Old place of `mlproject.monitoring.policy_evaluator`, kept for one release."""

import warnings

from mlproject.monitoring.policy_evaluator import *  # noqa: F403
from mlproject.monitoring.policy_evaluator import PolicyEvaluator as PolicyWatch  # noqa: F401

warnings.warn(
    "mlproject.optimization.policy_watch has moved to mlproject.monitoring.policy_evaluator",
    DeprecationWarning,
    stacklevel=2,
)
