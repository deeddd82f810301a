"""Which processes of this host are alive. Free of MLflow."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

_BOOT, _NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")

_CLOCK_SECONDS = 5.0
"""How far the start time of a process may seem to move when the system's clock is set."""


def this_host() -> str:
    """Name of this machine, or container."""
    return socket.gethostname()


@cache
def process_space() -> str:
    """Whose process ids these are: a short digest of this start of the machine and of the container in it."""
    parts = []
    with suppress(OSError):
        parts.append(_BOOT.read_text().strip())
        parts.append(str(_NAMESPACE.stat().st_ino))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def boot_clock() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


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
