"""What a step used: when it ran, where, processor time and memory."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import resource

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(frozen=True)
class Usage:
    """What the process of a step used while it executed it.

    Attributes:
        process: id of the process.
        start, end: seconds since the epoch.
        cpu_seconds: of all threads of the process; None where the process did other things too.
        peak_memory: resident, bytes; None likewise.
    """

    process: int
    start: float
    end: float
    cpu_seconds: float | None = None
    peak_memory: int | None = None


class Meter:
    """Measures what this process uses from now on."""

    def __init__(self) -> None:
        _forget_peak()
        self._start, self._cpu = time.time(), time.process_time()

    def usage(self) -> Usage:
        """What was used until now."""
        return Usage(os.getpid(), self._start, time.time(), time.process_time() - self._cpu, _peak_memory())


def _forget_peak() -> None:
    """Give freed memory back and start the peak anew; where the system cannot, it is the peak of the process so far."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text(_RESET_PEAK)


def _peak_memory() -> int:
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
