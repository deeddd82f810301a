"""One at a time: promotions and rollbacks of a registered model take turns, wherever they run.

MLflow's registry has no compare-and-set: the last writer of an alias wins. What decides "better than the champion" must
therefore not be overtaken. The order of turns is Lamport's bakery (1974), on nothing but tags of the promotion runs,
so it holds on every tracking server: a run draws a number higher than all it sees, and waits for those that have a
lower one, or have not drawn yet. A process that died on this machine is not waited for; what it left half-done is
settled first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.errors import UserError
from mlproject.names import Action, Kind, Outcome, Status, Tag, VersionTag
from mlproject.registry.versions import (
    holder,
    set_tags,
    versions_by_proxy,
)
from mlproject.tracking.liveness import is_abandoned
from mlproject.tracking.runs import StepRun
from mlproject.tracking.store import all_experiments, all_runs

PATIENCE_SECONDS = 900.0
_POLL_SECONDS = 0.2


def promotions(client: MlflowClient, name: str, more: str = "") -> list[Run]:
    """All promotion runs of a registered model, newest first, in whatever experiment: models are the server's."""
    return all_runs(
        client,
        all_experiments(client),
        f"tags.`{Tag.KIND}` = '{Kind.PROMOTION}' and tags.`{Tag.PROMOTION_MODEL}` = '{name}'{more}",
    )


@contextmanager
def my_turn(name: str, run: StepRun, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Wait for the turn of a promotion run; it ends when the run does.

    Raises:
        UserError: when patience is at an end; the run is deleted.
    """
    try:
        _take_turn(run.client, name, run.run_id, patience)
    except BaseException:
        run.withdraw(delete=True)
        raise
    yield


def _take_turn(client: MlflowClient, name: str, run_id: str, patience: float) -> None:
    """Wait until no other promotion of the model is under way, and settle what dead ones left.

    Args:
        client: of the store.
        name: of the registered model.
        run_id: a promotion run of this process, RUNNING, with the tag MODEL and without TURN.
        patience: seconds that runs of other machines are waited for.

    Raises:
        UserError: when patience is at an end; whether a process of another machine lives cannot be known from here.
    """
    drawn = [
        int(run.data.tags[Tag.PROMOTION_TURN])
        for run in promotions(client, name)
        if Tag.PROMOTION_TURN in run.data.tags
    ]
    mine = max(drawn, default=0) + 1
    client.set_tag(run_id, Tag.PROMOTION_TURN, str(mine))
    since = time.monotonic()
    while True:
        ahead = [
            run
            for run in promotions(client, name, " and attributes.status = 'RUNNING'")
            if run.info.run_id != run_id
            and not is_abandoned(run)
            and (
                Tag.PROMOTION_TURN not in run.data.tags
                or (int(run.data.tags[Tag.PROMOTION_TURN]), run.info.run_id) < (mine, run_id)
            )
        ]
        if not ahead:
            break
        if time.monotonic() - since > patience:
            other = ahead[-1]
            raise UserError(
                f"{name}: promotion run {other.info.run_id} of host {other.data.tags.get(Tag.HOST, 'unknown')} has not "
                f"ended for {patience:.0f} s; if its process is gone, delete that run in MLflow and try again"
            )
        time.sleep(_POLL_SECONDS)
    _settle(client, name, run_id)


def settle_moved(client: MlflowClient, name: str) -> None:
    """Complete the record of a run that moved the alias and was cut off before it could say so. Needs no turn."""
    champion = holder(client, name)
    for run in promotions(client, name):
        if champion and run.data.tags.get(Tag.PROMOTION_TO) == str(champion.version) and _is_cut_off(run):
            _close(
                client,
                run,
                Outcome.ROLLED_BACK if run.data.tags.get(Tag.PROMOTION_ACTION) == Action.ROLLBACK else Outcome.PROMOTED,
                "FINISHED",
            )


def _settle(client: MlflowClient, name: str, run_id: str) -> None:
    """Bring runs that were cut off, and version tags, into agreement with the alias.

    Only in a turn is it sure that a run whose version is not champion did not move the alias: whoever moves it next
    settles first.
    """
    settle_moved(client, name)
    runs = promotions(client, name)
    for run in runs:
        if run.info.run_id != run_id and Tag.PROMOTION_TURN in run.data.tags and _is_cut_off(run):
            _close(client, run, Outcome.INTERRUPTED, "KILLED" if run.info.status == "RUNNING" else run.info.status)
    champion = holder(client, name)
    held = {
        run.data.tags[Tag.PROMOTION_TO]
        for run in runs
        if run.data.tags.get(Tag.PROMOTION_OUTCOME) in (Outcome.PROMOTED, Outcome.ROLLED_BACK)
    }
    for version in versions_by_proxy(client, name).values():
        if version.tags.get(VersionTag.STATUS) == Status.PASSED and (
            champion is None or version.version != champion.version
        ):
            was_champion = str(version.version) in held  # otherwise its promotion was cut off just before
            set_tags(
                client,
                name,
                str(version.version),
                {VersionTag.STATUS: Status.RETIRED if was_champion else Status.CANDIDATE},
            )


def _is_cut_off(run: Run) -> bool:
    return Tag.PROMOTION_OUTCOME not in run.data.tags and (run.info.status != "RUNNING" or is_abandoned(run))


def _close(client: MlflowClient, run: Run, outcome: str, status: str) -> None:
    client.set_tag(run.info.run_id, Tag.PROMOTION_OUTCOME, outcome)
    if status != run.info.status:
        client.set_terminated(run.info.run_id, status)
