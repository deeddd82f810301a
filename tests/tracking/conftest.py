"""Runs as another process, or an earlier version, might have left them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest
from mlflow.entities import Param

if TYPE_CHECKING:
    from mlproject.tracking.store import Store


@pytest.fixture
def leave_run(store: Store) -> Callable[..., str]:
    """Creates a run with tags, params and a status, and returns its id."""

    def leave(
        fingerprint: str,
        status: str = "FINISHED",
        *,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        start_time: int | None = None,
    ) -> str:
        client = store.client()
        every = {"mlproject.fingerprint": fingerprint, **(tags or {})}
        run_id = client.create_run(store.studies, start_time=start_time, tags=every).info.run_id
        client.log_batch(run_id, params=[Param(name, value) for name, value in (params or {}).items()])
        if status != "RUNNING":
            client.set_terminated(run_id, status)
        return run_id

    return leave
