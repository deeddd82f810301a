"""The lease of a run: the run belongs to the process that renews it.

A thread of the process that fills a run renews the run's lease, a tag, several times in its term. Whoever has seen the
tag unchanged for a whole term, by a clock of his own, may take the run up (`liveness`); so the clocks of two machines
are not compared. The tags of the process say whose run it is, and only opening or taking up a run sets them: a process
that was paused, or cut off, for most of the term looks them up before it writes, and stops where they name another.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from mlflow import MlflowClient
from mlflow.entities import RunTag

from mlproject.errors import MachineError
from mlproject.tracking.liveness import WrittenLease, process_tags
from mlproject.tracking.processes import boot_clock

TERM_SECONDS = 90.0
"""Term of a lease where nothing else is said."""

_RENEWALS = 4.5
"""In one term."""

_ATTEMPTS = 18
"""In one term, while the store does not answer."""

_SAFE_SHARE = 0.75
"""Of its term, for which a lease counts as held after it was renewed."""


class LeaseLostError(MachineError):
    """Another process has taken the run up, or somebody has closed or deleted it."""


class Lease:
    """The lease that this process has of a run; renewed until it is released or lost.

    Args:
        client: of the store of the run.
        run_id: of the run, which has the tags of this process and of the lease.
        seconds: its term.
    """

    def __init__(self, client: MlflowClient, run_id: str, seconds: float) -> None:
        self._client, self._run_id, self._seconds = client, run_id, seconds
        self._number, self._renewed_at, self._is_lost = 0, boot_clock(), False
        self._released = threading.Event()
        threading.Thread(target=self._keep, name=f"lease of {run_id}", daemon=True).start()

    def check(self) -> None:
        """To be called before the run is written to.

        Raises:
            LeaseLostError: where the run belongs to another process.
        """
        is_held = self._released.is_set() or boot_clock() - self._renewed_at < _SAFE_SHARE * self._seconds
        if not is_held and not self._is_lost:
            self._renew()
        if self._is_lost:
            raise LeaseLostError(
                f"run {self._run_id}: must be this process's own, but was taken up by another, or closed, while this "
                "one was paused or cut off for longer than its lease. Run the same command again: it continues."
            )

    def is_lost(self) -> bool:
        """Whether the run belongs to another process; False where that cannot be found out."""
        with suppress(Exception):
            self.check()
        return self._is_lost

    def release(self) -> None:
        """Renew no more."""
        self._released.set()

    def _keep(self) -> None:
        wait = self._seconds / _RENEWALS
        while not self._is_lost and not self._released.wait(wait):
            wait = self._seconds / _ATTEMPTS
            with suppress(Exception):  # the store does not answer; whoever writes to the run will hear of it
                self._renew()
                wait = self._seconds / _RENEWALS

    def _renew(self) -> None:
        """Called by the thread and by whoever writes, perhaps at once: neither waits for the other's request, which may
        take minutes where a server is away, and each tag that they write is a renewal."""
        looked_at = boot_clock()
        run = self._client.get_run(self._run_id)
        if self._released.is_set():
            return
        is_open = run.info.status == "RUNNING" and run.info.lifecycle_stage == "active"
        if not is_open or not process_tags().items() <= run.data.tags.items():
            self._is_lost = True
            return
        self._number += 1
        tags = WrittenLease.new(self._seconds, self._number).tag()
        self._client.log_batch(self._run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        self._renewed_at = max(self._renewed_at, looked_at)
