"""The promotion lock: promotions and rollbacks of a registered model exclude each other, wherever they run.

MLflow's registry has no compare-and-set, so the last writer of an alias wins, and a comparison with the champion is
valid only while nobody else can move the alias. The lock is Lamport's bakery algorithm (1974), built on nothing but
tags of the promotion runs, so that it works on every tracking server: a run draws a number above all that it sees, and
waits for all runs with a lower number or without one. A run that is abandoned, on whatever machine, is not waited for
(see `mlproject.tracking.liveness`); the next holder of the lock repairs the records that it left.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.errors import UserError
from mlproject.names import Action, Kind, Outcome, Status, Tag, VersionTag
from mlproject.names.quoting import filter_value
from mlproject.registry.versions import set_tags, version_by_alias, versions_by_proxy
from mlproject.tracking.liveness import Watch, WrittenLease
from mlproject.tracking.runs import StepRun
from mlproject.tracking.store import all_experiments, all_runs

TIMEOUT_SECONDS = 900.0
"""How long a run of another machine is waited for that has no lease, as an earlier release left it."""

_SILENT_SECONDS = 10.0
_POLL_SECONDS = 0.2


def promotion_runs(client: MlflowClient, name: str, condition: str = "") -> list[Run]:
    """All promotion runs of a registered model, newest first.

    They are searched for in all experiments, since registered models belong to the server and not to an experiment.

    Args:
        client: client of the store.
        name: name of the registered model.
        condition: further condition of the search, which begins with ` and `.
    """
    query = f"tags.`{Tag.KIND}` = '{Kind.PROMOTION}' and tags.`{Tag.PROMOTION_MODEL}` = {filter_value(name)}{condition}"
    return all_runs(client, all_experiments(client), query)


@contextmanager
def promotion_lock(name: str, run: StepRun, timeout: float = TIMEOUT_SECONDS) -> Iterator[None]:
    """Waits until a promotion run holds the lock. The lock is released when the run ends, not when the block does.

    Args:
        name: name of the registered model.
        run: promotion run of this process.
        timeout: seconds after which a run without a lease is no longer waited for.

    Raises:
        UserError: after the timeout; the run is deleted.
    """
    try:
        _acquire(run.client, name, run.run_id, timeout)
    except BaseException:
        run.discard(delete=True)
        raise
    yield


def _acquire(client: MlflowClient, name: str, run_id: str, timeout: float) -> None:
    """Wait until no other promotion of the model is under way, then repair what interrupted ones left."""
    numbers = [
        int(run.data.tags[Tag.PROMOTION_TURN])
        for run in promotion_runs(client, name)
        if Tag.PROMOTION_TURN in run.data.tags
    ]
    number = max(numbers, default=0) + 1
    client.set_tag(run_id, Tag.PROMOTION_TURN, str(number))
    start, watch, is_announced = time.monotonic(), Watch(), False
    while True:
        ahead = [
            run
            for run in promotion_runs(client, name, " and attributes.status = 'RUNNING'")
            if run.info.run_id != run_id
            and not watch.is_abandoned(run)
            and (
                Tag.PROMOTION_TURN not in run.data.tags
                or (int(run.data.tags[Tag.PROMOTION_TURN]), run.info.run_id) < (number, run_id)
            )
        ]
        if not ahead:
            break
        other = ahead[-1]
        if time.monotonic() - start > _SILENT_SECONDS and not is_announced:
            is_announced = True
            host = other.data.tags.get(Tag.HOST, "unknown")
            print(f"mlproject: waiting for promotion run {other.info.run_id} on host {host}", file=sys.stderr)
        if time.monotonic() - start > timeout and WrittenLease.of(other) is None:
            raise UserError(
                f"{name}: promotion run {other.info.run_id} on host {other.data.tags.get(Tag.HOST, 'unknown')} has not "
                f"ended within {timeout:.0f} s. If its process is gone, delete that run in MLflow and try again."
            )
        time.sleep(_POLL_SECONDS)
    _repair_records(client, name, run_id, watch)


def complete_moves(client: MlflowClient, name: str, watch: Watch | None = None) -> None:
    """Complete the record of a run that was interrupted between moving the alias and recording it. Needs no lock.

    Args:
        client: of the store.
        name: name of the registered model.
        watch: what was seen of other runs until now.
    """
    champion = version_by_alias(client, name)
    for run in promotion_runs(client, name):
        is_champion = champion and run.data.tags.get(Tag.PROMOTION_TO) == str(champion.version)
        if is_champion and _is_interrupted(run, watch or Watch()):
            is_rollback = run.data.tags.get(Tag.PROMOTION_ACTION) == Action.ROLLBACK
            _close(client, run, Outcome.ROLLED_BACK if is_rollback else Outcome.PROMOTED, "FINISHED")


def _repair_records(client: MlflowClient, name: str, run_id: str, watch: Watch) -> None:
    """Make the records of interrupted runs, and the status of versions, agree with the alias.

    Only the holder of the lock can be sure that an interrupted run whose version is not champion did not move the
    alias, since every holder repairs the records before it moves the alias itself.
    """
    complete_moves(client, name, watch)
    runs = promotion_runs(client, name)
    for run in runs:
        if run.info.run_id != run_id and Tag.PROMOTION_TURN in run.data.tags and _is_interrupted(run, watch):
            _close(client, run, Outcome.INTERRUPTED, "KILLED" if run.info.status == "RUNNING" else run.info.status)
    champion = version_by_alias(client, name)
    former_champions = {
        run.data.tags[Tag.PROMOTION_TO]
        for run in runs
        if run.data.tags.get(Tag.PROMOTION_OUTCOME) in (Outcome.PROMOTED, Outcome.ROLLED_BACK)
    }
    for version in versions_by_proxy(client, name).values():
        if version.tags.get(VersionTag.STATUS) != Status.PASSED:
            continue
        if champion is None or version.version != champion.version:
            # without a completed move, its promotion was interrupted just before the alias moved
            status = Status.RETIRED if str(version.version) in former_champions else Status.CANDIDATE
            set_tags(client, name, str(version.version), {VersionTag.STATUS: status})


def _is_interrupted(run: Run, watch: Watch) -> bool:
    return Tag.PROMOTION_OUTCOME not in run.data.tags and (run.info.status != "RUNNING" or watch.is_abandoned(run))


def _close(client: MlflowClient, run: Run, outcome: str, status: str) -> None:
    client.set_tag(run.info.run_id, Tag.PROMOTION_OUTCOME, outcome)
    if status != run.info.status:
        client.set_terminated(run.info.run_id, status)
