"""Old place of `mlproject.models.init`, kept for one release."""

import warnings

from mlproject.models.init import *  # noqa: F403

warnings.warn("mlproject.models.build has moved to mlproject.models.init", DeprecationWarning, stacklevel=2)
