"""Old place of `mlproject.models.sft`, kept for one release."""

import warnings

from mlproject.models.sft import *  # noqa: F403
from mlproject.models.sft import train_sft as train_policy  # noqa: F401

warnings.warn("mlproject.models.policy has moved to mlproject.models.sft", DeprecationWarning, stacklevel=2)
