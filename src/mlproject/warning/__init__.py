"""Old place of `mlproject.monitoring`, kept for one release."""

import warnings

from mlproject.monitoring import *  # noqa: F403
from mlproject.monitoring import DEFAULT_ALARMS as DEFAULT_WARNINGS  # noqa: F401

warnings.warn("mlproject.warning has moved to mlproject.monitoring", DeprecationWarning, stacklevel=2)
