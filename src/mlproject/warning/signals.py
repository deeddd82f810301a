"""Old place of `mlproject.monitoring.signals`, kept for one release."""

import warnings

from mlproject.monitoring.signals import *  # noqa: F403

warnings.warn("mlproject.warning.signals has moved to mlproject.monitoring.signals", DeprecationWarning, stacklevel=2)
