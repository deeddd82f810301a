"""The process that workers are forked from: it imports everything that steps need, once, while a command plans."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext

from mlproject.errors import ENDING_SIGNALS

Context = ForkServerContext | SpawnContext

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait sleep: on a busy machine, spinning ones hold each other up
    # glibc: keep freed memory instead of handing it back; tensors of some 100 kB are made and dropped all the time
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}


def process_context() -> Context:
    """How workers are started: forked from the server, or afresh where there is no fork."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlproject.execution.preload"])
    return context


def start_early() -> None:
    """Start the server before the command knows whether it needs a worker: its imports take seconds. It ends with the
    command."""
    if isinstance(process_context(), ForkServerContext):
        with held_signals():
            forkserver.ensure_running()
        atexit.register(end_server)


def end_server() -> None:
    """Kill the server; it may be in its imports, which take seconds and end no sooner."""
    pid = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def held_signals() -> Iterator[None]:
    """Inside, what this thread starts never sees the signals that end a study: the server of workers ends with it."""
    resource_tracker.ensure_running()  # as it starts, it lets some of these signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
