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
from mlflow.entities import Run, RunTag

from mlproject.errors import UserError
from mlproject.tracking.owner import HOST, is_abandoned
from mlproject.tracking.registry.versions import (
    PASSED,
    RETIRED,
    STATUS,
    holder,
    set_tags,
    versions_by_proxy,
)
from mlproject.tracking.runs import KIND, StepRun
from mlproject.tracking.store import Store, all_runs

MODEL, TURN, ACTION = "promotion.registered_model", "promotion.turn", "promotion.action"
FROM, TO, OUTCOME = "promotion.from", "promotion.to", "promotion.outcome"
WHO, WHY = "promotion.who", "promotion.why"
"""Tags of a promotion run; FROM and TO are versions, written before the alias moves; OUTCOME is written after."""

PROMOTED, REFUSED, ROLLED_BACK, REHEARSED, CUT_OFF = "promoted", "refused", "rolled-back", "dry-run", "cut-off"

PATIENCE_SECONDS = 900.0
_POLL_SECONDS = 0.2


def promotions(client: MlflowClient, store: Store, name: str, more: str = "") -> list[Run]:
    """All promotion runs of a registered model, newest first."""
    return all_runs(client, [store.studies], f"tags.`{KIND}` = 'promotion' and tags.`{MODEL}` = '{name}'{more}")


@contextmanager
def my_turn(store: Store, name: str, run: StepRun, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Wait for the turn of a promotion run; it ends when the run does.

    Raises:
        UserError: when patience is at an end; the run is deleted.
    """
    try:
        _take_turn(run.client, store, name, run.run_id, patience)
    except BaseException:
        run.withdraw(delete=True)
        raise
    yield


def _take_turn(client: MlflowClient, store: Store, name: str, run_id: str, patience: float) -> None:
    """Wait until no other promotion of the model is under way, and settle what dead ones left.

    Args:
        client, store: where.
        name: of the registered model.
        run_id: a promotion run of this process, RUNNING, with the tag MODEL and without TURN.
        patience: seconds that runs of other machines are waited for.

    Raises:
        UserError: when patience is at an end; whether a process of another machine lives cannot be known from here.
    """
    drawn = [int(run.data.tags[TURN]) for run in promotions(client, store, name) if TURN in run.data.tags]
    mine = max(drawn, default=0) + 1
    client.set_tag(run_id, TURN, str(mine))
    since = time.monotonic()
    while True:
        ahead = [
            run
            for run in promotions(client, store, name, " and attributes.status = 'RUNNING'")
            if run.info.run_id != run_id
            and not is_abandoned(run)
            and (TURN not in run.data.tags or (int(run.data.tags[TURN]), run.info.run_id) < (mine, run_id))
        ]
        if not ahead:
            break
        if time.monotonic() - since > patience:
            other = ahead[-1]
            raise UserError(
                f"{name}: promotion run {other.info.run_id} of host {other.data.tags.get(HOST, 'unknown')} has not "
                f"ended for {patience:.0f} s; if its process is gone, delete that run in MLflow and try again"
            )
        time.sleep(_POLL_SECONDS)
    _settle(client, store, name, run_id)


def _settle(client: MlflowClient, store: Store, name: str, run_id: str) -> None:
    """Bring runs that were cut off, and version tags, into agreement with the alias."""
    champion = holder(client, name)
    for run in promotions(client, store, name):
        if run.info.run_id == run_id or OUTCOME in run.data.tags or TURN not in run.data.tags:
            continue
        tags = run.data.tags
        moved = champion is not None and tags.get(TO) == str(champion.version)
        outcome = (ROLLED_BACK if tags.get(ACTION) == "rollback" else PROMOTED) if moved else CUT_OFF
        client.log_batch(run.info.run_id, tags=[RunTag(OUTCOME, outcome)])
        if moved or run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "FINISHED" if moved else "KILLED")
    for version in versions_by_proxy(client, name).values():
        if version.tags.get(STATUS) == PASSED and (champion is None or version.version != champion.version):
            set_tags(client, name, str(version.version), {STATUS: RETIRED})
