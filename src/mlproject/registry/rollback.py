"""Rollback: the champion's alias goes back to the version that had it before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlproject.errors import UserError
from mlproject.names import Action, Kind, Outcome, Tag, VersionTag
from mlproject.pipeline.step import Step
from mlproject.registry.history import Move, history, previous_holder
from mlproject.registry.lock import my_turn
from mlproject.registry.promote import move_champion, who
from mlproject.registry.versions import holder, verify
from mlproject.tracking.runs import StepRun, carry_out

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation


def rollback(invocation: Invocation, why: str) -> Move:
    """Give the alias back, and record who asked, when and why.

    Raises:
        UserError: where nobody, or nobody else, was champion; or the earlier champion's files have changed.
    """
    store, client, name = invocation.store, invocation.client, invocation.config.registered_model
    step = Step(
        name=f"rollback of {name}",
        kind=Kind.PROMOTION,
        version=1,
        params={"registered_model": name, "invocation": invocation.run_id},
        tags={
            Tag.PROMOTION_MODEL: name,
            Tag.PROMOTION_ACTION: Action.ROLLBACK,
            Tag.PROMOTION_WHO: who(),
            Tag.PROMOTION_WHY: why,
        },
    )
    run = StepRun(store, step, {}, made_by=invocation.run_id)

    def work(run: StepRun) -> None:
        champion = holder(client, name)
        if champion is None:
            raise UserError(f"{name}: has no champion, so there is nothing to roll back; run `promote` first")
        earlier = previous_holder(history(client, name), str(champion.version))
        if earlier is None:
            raise UserError(f"{name}: version {champion.version} is the first champion; there is none to return to")
        version = client.get_model_version(name, earlier)
        verify(client, version)
        move_champion(run, name, earlier, str(champion.version), version.tags.get(VersionTag.PROMOTION_RUN_ID, ""))
        run.set_tags({Tag.PROMOTION_OUTCOME: Outcome.ROLLED_BACK})

    with my_turn(name, run):
        try:
            carry_out(run, work)
        except UserError:
            client.delete_run(run.run_id)  # a mistake leaves nothing behind
            raise
    invocation.scheduler.finish(step, run)
    return history(client, name)[-1]
