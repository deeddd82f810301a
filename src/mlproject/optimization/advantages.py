"""Old place of `mlproject.optimization.on_policy.gae`, kept for one release."""

import warnings

from mlproject.optimization.on_policy.gae import *  # noqa: F403

warnings.warn(
    "mlproject.optimization.advantages has moved to mlproject.optimization.on_policy.gae",
    DeprecationWarning,
    stacklevel=2,
)
