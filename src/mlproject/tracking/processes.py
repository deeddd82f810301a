"""Which processes of this host are alive. Free of MLflow."""

from __future__ import annotations

import os
import socket

import psutil

_CLOCK_SECONDS = 5.0
"""How far the start time of a process may seem to move when the system's clock is set."""


def this_host() -> str:
    """Name of this machine, or container: whose processes can be seen from here."""
    return socket.gethostname()


def this_process() -> tuple[int, float]:
    """Id and start time of this process, seconds since 1970; ids are reused."""
    pid = os.getpid()
    return pid, psutil.Process(pid).create_time()


def has_ended(pid: int, started: float) -> bool:
    """Whether a process of this host is gone.

    Args:
        pid: its id.
        started: when it started, seconds since 1970.
    """
    try:
        return abs(psutil.Process(pid).create_time() - started) > _CLOCK_SECONDS
    except psutil.NoSuchProcess:
        return True
