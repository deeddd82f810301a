"""Old place of `mlproject.monitoring.monitor`, kept for one release."""

import warnings

from mlproject.monitoring.monitor import *  # noqa: F403
from mlproject.monitoring.monitor import DEFAULT_RULES as SIGN_RULES  # noqa: F401
from mlproject.monitoring.monitor import Alarm as Raised  # noqa: F401
from mlproject.monitoring.monitor import MonitorReading as Reading  # noqa: F401

warnings.warn("mlproject.monitor has moved to mlproject.monitoring.monitor", DeprecationWarning, stacklevel=2)
