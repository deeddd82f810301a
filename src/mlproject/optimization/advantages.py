"""Old place of `mlproject.optimization.gae`, kept for one release."""

import warnings

from mlproject.optimization.gae import *  # noqa: F403

warnings.warn(
    "mlproject.optimization.advantages has moved to mlproject.optimization.gae", DeprecationWarning, stacklevel=2
)
