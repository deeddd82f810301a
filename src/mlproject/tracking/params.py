"""Params of a run: how they are logged, and as which texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Param

from mlproject.names.escape import fit_key
from mlproject.options.secrets import mask

_BATCH = 100
"""What MLflow takes at a time."""


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    """Log params at once, as texts."""
    entries = [Param(fit_key(name), as_text(value)) for name, value in params.items()]
    for start in range(0, len(entries), _BATCH):
        client.log_batch(run_id, params=entries[start : start + _BATCH])


def as_text(value: Any) -> str:
    """The value of a param as MLflow stores it: a list as its items, separated by commas; without secrets."""
    return mask(",".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
