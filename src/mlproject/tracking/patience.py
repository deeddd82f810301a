"""A tracking store that another process keeps locked is waited for, and the wait is announced."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from mlproject.options.machine import is_away

PATIENCE_SECONDS = 90.0
"""How long a call waits for a SQLite database that another process keeps locked, once a command has begun."""

_SILENT_SECONDS = 10.0
"""Time that a call to the tracking store may take before a line says so."""


_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"

_MLFLOWS_PATIENCE = "PRAGMA busy_timeout = 20000;"
"""What MLflow begins each of its sessions with."""


def lengthen() -> None:
    """Let MLflow wait longer, in this process, and not print the tracebacks of what it raises anyway."""
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if not event.contains(Engine, "before_cursor_execute", _wait_longer):
        event.listen(Engine, "before_cursor_execute", _wait_longer, retval=True)


def _wait_longer(
    connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
) -> tuple[str, Any]:
    if statement == _MLFLOWS_PATIENCE:
        statement = f"PRAGMA busy_timeout = {round(PATIENCE_SECONDS * 1000)}"
    return statement, parameters


@contextmanager
def without_waiting(error: BaseException | None) -> Iterator[None]:
    """Inside, a tracking server that was waited for in vain is asked once at most, and not for minutes again.

    Args:
        error: what ends the work.
    """
    if error is None or not is_away(error):
        yield
        return
    before = os.environ.get(_RETRIES)
    os.environ[_RETRIES] = "0"
    try:
        yield
    finally:
        os.environ.pop(_RETRIES)
        os.environ.update({} if before is None else {_RETRIES: before})


@contextmanager
def announced(step: str) -> Iterator[None]:
    """Inside, what takes long is announced on standard error.

    Args:
        step: name of the step whose run is read or written.
    """
    line = f"mlproject: {step}: waiting for the tracking store, which is slow, or locked by another process"
    waiting = threading.Timer(_SILENT_SECONDS, print, (line,), {"file": sys.stderr, "flush": True})
    waiting.daemon = True
    waiting.start()
    try:
        yield
    finally:
        waiting.cancel()
