"""Promotion: a candidate's evidence is put to the gates, and the alias `champion` moves only if all of them hold.

Order of the writes, so that a kill between any two leaves the alias on a complete version that passed: the versions and
their tags, the verdict with all its evidence, the intended move (tags FROM and TO), the alias, the outcome. What comes
after the alias is done again by the next turn, should it be missing.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mlflow.entities import Run

from mlproject.names import Action, Alias, Kind, Outcome, Role, Status, Tag, VersionTag
from mlproject.pipeline.step import Step
from mlproject.registry.candidates import Candidate, Ground, run_ref
from mlproject.registry.evaluate import Judgement, judge
from mlproject.registry.gates import Gates, Verdict
from mlproject.registry.lock import (
    my_turn,
    settle_moved,
)
from mlproject.registry.record import record_verdict, record_versions
from mlproject.registry.versions import (
    holder,
    set_tags,
    verify,
    versions_by_proxy,
)
from mlproject.tracking.runs import StepRun, carry_out

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation


@dataclass(frozen=True)
class Decision:
    """What became of a promotion.

    Attributes:
        run_id: of the promotion run; of the earlier one where the same question was answered before.
        candidate: which reward model was judged.
        version: of the registered model; empty in a dry run of what is not registered.
        verdicts: of the gates, as far as they were asked.
        passed: whether all of these hold.
        is_champion: whether the candidate is champion now.
    """

    run_id: str
    candidate: Candidate
    version: str
    verdicts: Sequence[Verdict]
    passed: bool
    is_champion: bool


def promote(
    invocation: Invocation, gates: Gates, ground: Ground, wanted: Run | None = None, dry_run: bool = False
) -> Decision:
    """Judge a candidate, and make it champion if all gates hold.

    Args:
        invocation: on whose behalf.
        gates: the conditions.
        ground: what candidates are measured on.
        wanted: run of the proxy RM to be judged; None judges the one that the rule chooses.
        dry_run: say what would happen; the registry stays as it is.

    Raises:
        UserError: where there is no candidate with a curve, or a champion that cannot be measured.
    """
    while True:
        judgement = judge(invocation, gates, ground, wanted)
        step, scheduler = _step(invocation, judgement, dry_run), invocation.scheduler
        champion = judgement.champion
        if champion is not None and judgement.was_promoted:
            settle_moved(invocation.client, invocation.config.registered_model)
            run_id = champion.tags[VersionTag.PROMOTION_RUN_ID]
            scheduler.reuse(step, run_id)
            return _decision(invocation, judgement, run_id)
        known = scheduler.find(step)
        if known is not None and invocation.client.get_run(known).data.tags.get(Tag.PROMOTION_OUTCOME) in (
            Outcome.REFUSED,
            Outcome.DRY_RUN,
        ):
            scheduler.reuse(step, known)
            return _decision(invocation, judgement, known)
        inputs = {role: source.run_id for role, source in _inputs(judgement).items()}
        run = StepRun(invocation.store, step, inputs, made_by=invocation.run_id)
        with my_turn(invocation.config.registered_model, run):
            now = holder(invocation.client, invocation.config.registered_model)
            if (now and now.version) != (champion and champion.version):
                run.withdraw(delete=True)
                invocation.say("another promotion was faster: judged again, against the new champion")
                continue
            carry_out(run, partial(_act, judgement=judgement, name=invocation.config.registered_model, dry_run=dry_run))
        scheduler.finish(step, run)
        return _decision(invocation, judgement, run.run_id)


def who() -> str:
    """The one who asks."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _inputs(judgement: Judgement) -> dict:
    candidate = judgement.candidate
    return {Role.PROXY_RM: run_ref(candidate.proxy), Role.POLICY_RUN: run_ref(candidate.curves[judgement.gates.method])}


def _step(invocation: Invocation, judgement: Judgement, dry_run: bool) -> Step:
    name, champion = invocation.config.registered_model, judgement.champion
    return Step(
        name=f"{'rehearsal' if dry_run else 'promotion'} of {judgement.candidate.name} in {name}",
        kind=Kind.PROMOTION,
        version=2,
        params={
            "registered_model": name,
            "gates": judgement.gates.digest,
            "method": judgement.gates.method,
            "champion_before": "none" if champion is None else str(champion.version),
            "dry_run": dry_run,
            **invocation.config.select("audit_prompts"),
        },
        inputs=_inputs(judgement),
        tags={Tag.PROMOTION_MODEL: name, Tag.PROMOTION_ACTION: Action.PROMOTE, Tag.PROMOTION_WHO: who()},
    )


def _act(run: StepRun, judgement: Judgement, name: str, dry_run: bool) -> None:
    """Write the verdict down, and move the alias if it may."""
    client, champion = run.client, judgement.champion
    if dry_run:
        record_verdict(run, judgement, {})
        run.set_tags({Tag.PROMOTION_OUTCOME: Outcome.DRY_RUN})
        return
    versions = record_versions(client, name, judgement, run.run_id)
    version = versions[judgement.chosen]
    record_verdict(run, judgement, versions)
    if not judgement.passed:
        if judgement.failed_only_margin:
            client.set_registered_model_alias(name, Alias.CHALLENGER, version)
        run.set_tags({Tag.PROMOTION_OUTCOME: Outcome.REFUSED})
        return
    verify(client, client.get_model_version(name, version))
    client.set_registered_model_alias(name, Alias.CHALLENGER, version)
    left = "" if champion is None or judgement.is_champion else str(champion.version)
    move_champion(run, name, version, left, run.run_id)
    client.delete_registered_model_alias(name, Alias.CHALLENGER)
    run.set_tags({Tag.PROMOTION_OUTCOME: Outcome.PROMOTED})


def move_champion(run: StepRun, name: str, version: str, left: str, promotion_run_id: str) -> None:
    """Move the alias, its intention written down first.

    Args:
        run: of the promotion or rollback, its turn taken.
        name: of the registered model.
        version: that becomes champion; it passed.
        left: that was champion; empty where there was none.
        promotion_run_id: of the run whose verdict says that it passed.
    """
    client = run.client
    set_tags(client, name, version, {VersionTag.STATUS: Status.PASSED, VersionTag.PROMOTION_RUN_ID: promotion_run_id})
    run.set_tags({Tag.PROMOTION_TO: version, **({Tag.PROMOTION_FROM: left} if left else {})})
    client.set_registered_model_alias(name, Alias.CHAMPION, version)
    if left:
        set_tags(client, name, left, {VersionTag.STATUS: Status.RETIRED})


def _decision(invocation: Invocation, judgement: Judgement, run_id: str) -> Decision:
    name = invocation.config.registered_model
    known = versions_by_proxy(invocation.client, name).get(judgement.chosen)
    champion = holder(invocation.client, name)
    return Decision(
        run_id=run_id,
        candidate=judgement.candidate,
        version=str(known.version) if known else "",
        verdicts=judgement.answer,
        passed=judgement.passed,
        is_champion=bool(known and champion and known.version == champion.version),
    )
