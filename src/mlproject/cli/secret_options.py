"""Options on the command line that hold a password: `mlflow run` logs and prints what it is given by -P.

Imports nothing heavy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module

from mlproject.errors import UserError
from mlproject.options.secrets import STORAGE_VARIABLE, has_secret, mask, mask_output, remember, remember_environment


def guard(words: Sequence[str]) -> None:
    """Mask the secrets of the command line and of the environment from now on, and refuse those of options.

    `storage` alone may hold one, and not under `mlflow run`, which has logged it before this process began: there it is
    taken out of the run again.

    Args:
        words: the command line.

    Raises:
        UserError: for an option with a password or a token.
    """
    remember(words)
    remember_environment()
    mask_output()
    run_id = os.environ.get("MLFLOW_RUN_ID")
    for name, value in _options(words):
        if not has_secret(value) or (name == "storage" and not run_id):
            continue
        remedy = (
            f"Set the environment variable {STORAGE_VARIABLE} to it, or write it into the file that config names."
            if name == "storage"
            else "Give an address without it."
        )
        if not run_id:
            raise UserError(f"{name}={mask(value)}: must not hold a password or token. {remedy}")
        erased = import_module("mlproject.tracking.erasure").erase_secrets(run_id)  # imports MLflow
        raise UserError(
            f"{name}={mask(value)}: must not hold a password or token, since `mlflow run` prints and logs it. {remedy} "
            f"{erased}"
        )


def _options(words: Sequence[str]) -> list[tuple[str, str]]:
    """Name and value of every option, of a command line that may be wrong; a word on its own has the name of none."""
    pairs: list[tuple[str, str]] = []
    name = ""
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            if equals:
                pairs.append((name, value))
        else:
            pairs.append((name or "option", word))
            name = ""
    return pairs
