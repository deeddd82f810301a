"""Whether anybody still executes a run, and closing the runs of those who do not."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite

from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.names import Tag
from mlproject.strict_json import strict_json
from mlproject.tracking.processes import boot_clock, has_ended, process_space, this_host, this_process
from mlproject.tracking.store import Store, all_experiments, all_runs

CLOCK_TOLERANCE_SECONDS = 600.0
"""By how much the clocks of two machines may differ."""

_CREDITED_SECONDS = 5.0
"""The most that two looks at a lease add to the time for which it was seen unchanged: whoever looks may have been
paused himself, or the store away, in which time nobody could renew."""


def process_tags() -> dict[str, str]:
    """Tags that identify this process: host, process id, whose ids these are, and start time, since ids are reused."""
    pid, started = this_process()
    return {
        Tag.HOST: this_host(),
        Tag.PID_SPACE: process_space(),
        Tag.PID: str(pid),
        Tag.PID_STARTED: f"{started:.2f}",
    }


@dataclass(frozen=True)
class WrittenLease:
    """What the tag of a lease says.

    Attributes:
        number: how often it was renewed.
        renewed: when, by the clock of the process that wrote it, seconds since 1970.
        seconds: its term.
    """

    number: int
    renewed: float
    seconds: float

    def tag(self) -> dict[str, str]:
        """The tag that says so."""
        return {Tag.LEASE: strict_json({"number": self.number, "renewed": self.renewed, "seconds": self.seconds})}

    @classmethod
    def new(cls, seconds: float, number: int = 0) -> WrittenLease:
        """A lease that is renewed now."""
        return cls(number, round(time.time(), 1), seconds)

    @classmethod
    def of(cls, run: Run) -> WrittenLease | None:
        """The lease of a run; None where it has none that can be read, as of an earlier release."""
        with suppress(KeyError, ValueError, TypeError, OverflowError, RecursionError):
            content = json.loads(run.data.tags[Tag.LEASE])
            lease = cls(int(content["number"]), float(content["renewed"]), float(content["seconds"]))
            return lease if lease.seconds > 0 and isfinite(lease.renewed + lease.seconds) else None
        return None


@dataclass
class _Sight:
    """How a lease was seen: what it said, for how long it has said so, and when that was seen last."""

    said: tuple[str | None, ...]
    seconds: float
    looked_at: float


class Watch:
    """Judges which runs are abandoned, by looking at them again and again: the longer it looks, the more it knows.

    A run is abandoned that is RUNNING although the process that executed it has ended, where its processes can be seen
    from here, or although its lease has run out: for a whole term it was seen unchanged, or it was renewed so long ago
    that no difference of clocks explains it.
    """

    def __init__(self) -> None:
        self._sights: dict[str, _Sight] = {}

    def is_abandoned(self, run: Run) -> bool:
        """Whether nobody executes a run any more; False for a run of another project."""
        tags = run.data.tags
        if run.info.status != "RUNNING" or Tag.PID not in tags:
            return False
        is_here = tags.get(Tag.HOST) == this_host() and tags.get(Tag.PID_SPACE, process_space()) == process_space()
        with suppress(KeyError, ValueError, OverflowError):  # tags that no release has written
            if is_here and has_ended(int(tags[Tag.PID]), float(tags[Tag.PID_STARTED])):
                return True
        lease = WrittenLease.of(run)
        if lease is None:
            return False
        is_old = time.time() - lease.renewed > lease.seconds + CLOCK_TOLERANCE_SECONDS
        return (is_old and not is_here) or self._seconds_unchanged(run) >= lease.seconds

    def _seconds_unchanged(self, run: Run) -> float:
        """For how long the lease of a run was seen unchanged."""
        tags, looked_at = run.data.tags, boot_clock()
        said = (tags.get(Tag.LEASE), *(tags.get(name) for name in process_tags()))
        sight = self._sights.get(run.info.run_id)
        if sight is None or sight.said != said:
            sight = self._sights[run.info.run_id] = _Sight(said, 0.0, looked_at)
        sight.seconds += min(looked_at - sight.looked_at, _CREDITED_SECONDS)
        sight.looked_at = looked_at
        return sight.seconds


def reap(client: MlflowClient, store: Store) -> list[str]:
    """Mark abandoned runs as KILLED, which a killed process cannot do itself.

    Returns:
        ids of these runs.
    """
    running = all_runs(client, all_experiments(client), f"attributes.status = 'RUNNING' and tags.`{Tag.HOST}` != ''")
    watch = Watch()
    abandoned = [run.info.run_id for run in running if watch.is_abandoned(run)]
    for run_id in abandoned:
        client.set_terminated(run_id, "KILLED")
    return abandoned
