"""Old place of `mlproject.models.prompt_format`, kept for one release."""

import warnings

from mlproject.models.prompt_format import *  # noqa: F403
from mlproject.models.prompt_format import PromptFormat as Reader  # noqa: F401

warnings.warn("mlproject.models.reader has moved to mlproject.models.prompt_format", DeprecationWarning, stacklevel=2)
