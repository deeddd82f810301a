"""Libraries that are slow to import, and that a command needs only once it reads or trains a model.

`from mlproject.models.libraries import transformers` costs nothing; the library is imported where one of its names is
first used. A command that only plans, reuses, or reads the store never gets there. Workers are forked from a server
that has imported everything (`mlproject.execution.preload`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import accelerate as accelerate
    import transformers as transformers
else:

    class _Library:
        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self._name), name)

    accelerate, transformers = _Library("accelerate"), _Library("transformers")
