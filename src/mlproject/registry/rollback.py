"""Rollback: the alias `champion` returns to the previous champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlproject.errors import UserError
from mlproject.names import Action, Kind, Outcome, Tag, VersionTag
from mlproject.pipeline.step import Step
from mlproject.registry.history import Move, history, previous_champion
from mlproject.registry.lock import promotion_lock
from mlproject.registry.promote import move_champion, requester
from mlproject.registry.versions import verify, version_by_alias
from mlproject.tracking.closing import execute
from mlproject.tracking.runs import StepRun

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation


def rollback(invocation: Invocation, why: str) -> Move:
    """Return the alias to the previous champion, and record who asked, when and why.

    Args:
        invocation: the invocation that asks for the rollback.
        why: reason, for the history.

    Returns:
        the move of the alias.

    Raises:
        UserError: if there is no champion or no previous one, or if the files of the previous champion have changed.
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
            Tag.PROMOTION_WHO: requester(),
            Tag.PROMOTION_WHY: why,
        },
    )
    run = StepRun(store, step, {}, made_by=invocation.run_id)

    def fill(run: StepRun) -> None:
        champion = version_by_alias(client, name)
        if champion is None:
            raise UserError(f"{name}: there is no champion, so nothing can be rolled back. Run `promote` first.")
        previous = previous_champion(history(client, name), str(champion.version))
        if previous is None:
            raise UserError(
                f"{name}: version {champion.version} is the first champion, so there is no previous one to return to. "
                "Promote another version first."
            )
        version = client.get_model_version(name, previous)
        verify(client, version)
        move_champion(run, name, previous, str(champion.version), version.tags.get(VersionTag.PROMOTION_RUN_ID, ""))
        run.set_tags({Tag.PROMOTION_OUTCOME: Outcome.ROLLED_BACK})

    with promotion_lock(name, run):
        try:
            execute(run, fill)
        except UserError:
            client.delete_run(run.run_id)  # a usage error leaves no run behind
            raise
    invocation.scheduler.finish(step, run)
    return history(client, name)[-1]
