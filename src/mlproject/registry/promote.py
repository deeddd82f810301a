"""Promotion: a candidate is evaluated, and the alias `champion` moves only if all gates pass.

Writes have an order, so that a kill between any two of them leaves the alias on a complete version that passed: the
versions and their tags, the evaluation with all its evidence, the intended move (`promotion.from`, `promotion.to`), the
alias, the outcome. What is written after the alias is completed by the next holder of the promotion lock.
"""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mlflow.entities import Run

from mlproject.execution.jobs import Job
from mlproject.names import Action, Alias, Kind, Outcome, Role, Status, Tag, VersionTag
from mlproject.pipeline.step import RunRef, Step
from mlproject.registry.candidates import Candidate, EvaluationContext, run_ref
from mlproject.registry.evaluate import Evaluation, evaluate
from mlproject.registry.gates import GateResult, Gates
from mlproject.registry.lock import complete_moves, promotion_lock
from mlproject.registry.record import record_evaluation, record_versions, standing_sentence, stored_results
from mlproject.registry.versions import set_tags, verify, version_by_alias, versions_by_proxy
from mlproject.tracking.closing import execute
from mlproject.tracking.params import as_text
from mlproject.tracking.runs import StepRun

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation

_CIRCUMSTANCES = ("champion_before", "dry_run")
"""Params of a promotion that say nothing of its evidence."""


@dataclass(frozen=True)
class Decision:
    """Result of a promotion.

    Attributes:
        run_id: id of the promotion run, or of the earlier run that already answered the same question.
        candidate: the reward model that was evaluated.
        version: its version of the registered model; empty after a dry run if it is not registered.
        results: results of the gates that were checked.
        passed: whether all of them passed.
        is_champion: whether the candidate is champion now.
        reason: why it was proposed, and how that goes together with the recommendation.
        champion: version that is champion now; empty if there is none.
        previous: version that was champion before; empty if there was none, or the same.
        dry_run: whether the registry was left as it was.
        not_answered: the gates that the evidence could not answer, in one sentence; empty where all were checked.
        whose: whose figures these are, in a sentence, where the candidate was champion before; empty otherwise.
    """

    run_id: str
    candidate: Candidate
    version: str
    results: Sequence[GateResult]
    passed: bool
    is_champion: bool
    reason: str = ""
    champion: str = ""
    previous: str = ""
    dry_run: bool = False
    not_answered: str = ""
    whose: str = ""


def promote(
    invocation: Invocation, gates: Gates, context: EvaluationContext, proxy: Run | None = None, dry_run: bool = False
) -> Decision:
    """Evaluate a candidate, and make it champion if all gates pass.

    Args:
        invocation: the invocation that asks for the promotion.
        gates: the conditions.
        context: policy, gold RM and prompts to measure with.
        proxy: run of the proxy RM to evaluate; None selects the first in the order of the recommendation that passes.
        dry_run: evaluate only; the registry is not changed.

    Raises:
        UserError: if no candidate has a curve, or the champion cannot be measured.
    """
    return decide(invocation, lambda: evaluate(invocation, gates, context, proxy), dry_run)


def decide(invocation: Invocation, evaluating: Callable[[], Job[Evaluation]], dry_run: bool) -> Decision:
    """Decide on an evaluation, which is made anew where another promotion moves the champion meanwhile.

    Args:
        invocation: the invocation that asks for the promotion.
        evaluating: starts the evaluation.
        dry_run: evaluate only. So is a candidate that is no model, which cannot be registered.
    """
    client, scheduler, name = invocation.client, invocation.scheduler, invocation.config.registered_model
    while True:
        [evaluation] = scheduler.run_jobs(evaluating())
        dry_run = dry_run or not evaluation.candidate.is_model
        step, champion = _step(invocation, evaluation, dry_run), evaluation.champion
        earlier = _answered(invocation, evaluation, step)
        if earlier is not None:
            scheduler.reuse(step, earlier.info.run_id)
            return _decision(invocation, evaluation, earlier, dry_run)
        inputs = {role: source.run_id for role, source in _inputs(evaluation).items()}
        run = StepRun(invocation.store, step, inputs, made_by=invocation.run_id)
        with promotion_lock(name, run):
            now = version_by_alias(client, name)
            if (now and now.version) != (champion and champion.version):
                run.discard(delete=True)
                invocation.say("another promotion has moved the champion: evaluating again, against the new one")
                continue
            execute(run, partial(_decide, evaluation=evaluation, name=name, dry_run=dry_run))
        scheduler.finish(step, run)
        return _decision(invocation, evaluation, client.get_run(run.run_id), dry_run)


def requester() -> str:
    """Who asks for a promotion or rollback, as `USER@HOST`."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _answered(invocation: Invocation, evaluation: Evaluation, step: Step) -> Run | None:
    """The run that has put the same evidence to the same gates, with the same champion; None where there is none.

    For a standing champion this is the promotion that made it champion, as long as nothing has been measured since.
    What a later study measures is put to the gates again, and the version's card and tags are brought up to date.
    """
    client, champion = invocation.client, evaluation.champion
    if champion is not None and evaluation.was_promoted:
        complete_moves(client, invocation.config.registered_model)
        promotion = client.get_run(champion.tags[VersionTag.PROMOTION_RUN_ID])
        if _has_evidence_of(promotion, step):
            return promotion
    if (run_id := invocation.scheduler.find(step)) is None:
        return None
    earlier = client.get_run(run_id)
    outcomes = (Outcome.CONFIRMED, Outcome.REFUSED, Outcome.DRY_RUN)
    return earlier if earlier.data.tags.get(Tag.PROMOTION_OUTCOME) in outcomes else None


def _has_evidence_of(promotion: Run, step: Step) -> bool:
    """Whether a promotion read the runs, prompts and gates of another; one of before 0.2 does not name all runs."""
    params = {name: as_text(value) for name, value in step.params.items() if name not in _CIRCUMSTANCES}
    inputs = {role: source.run_id for role, source in step.inputs.items() if isinstance(source, RunRef)}
    same_params = all(promotion.data.params.get(name, text) == text for name, text in params.items())
    return same_params and json.loads(promotion.data.tags.get(Tag.INPUTS, "{}")) == inputs


def _inputs(evaluation: Evaluation) -> dict[str, RunRef]:
    candidate, method = evaluation.candidate, evaluation.gates.method
    curve = {Role.POLICY_RUN: run_ref(candidate.curves[method])}
    return {Role.PROXY_RM: run_ref(candidate.proxy), **curve} if candidate.is_model else curve


def _step(invocation: Invocation, evaluation: Evaluation, dry_run: bool) -> Step:
    name, champion = invocation.config.registered_model, evaluation.champion
    return Step(
        name=f"promotion of {evaluation.candidate.name} in {name}{' (dry run)' if dry_run else ''}",
        kind=Kind.PROMOTION,
        version=2,
        params={
            "registered_model": name,
            "gates": evaluation.gates.digest,
            "method": evaluation.gates.method,
            "champion_before": "none" if champion is None else str(champion.version),
            "dry_run": dry_run,
            "policy_runs": ",".join(sorted(run.info.run_id for run in evaluation.candidate.best.values())),
            **invocation.config.select("audit_prompts"),
        },
        inputs=_inputs(evaluation),
        tags={Tag.PROMOTION_MODEL: name, Tag.PROMOTION_ACTION: Action.PROMOTE, Tag.PROMOTION_WHO: requester()},
    )


def _decide(run: StepRun, evaluation: Evaluation, name: str, dry_run: bool) -> None:
    """Record the evaluation, and move the alias if all gates passed."""
    client, champion = run.client, evaluation.champion
    if dry_run:
        record_evaluation(run, evaluation, {})
        run.set_tags({Tag.PROMOTION_OUTCOME: Outcome.DRY_RUN})
        return
    versions = record_versions(client, name, evaluation, run.run_id)
    version = versions[evaluation.selected]
    record_evaluation(run, evaluation, versions)
    if not evaluation.passed:
        if evaluation.only_margin_failed and not evaluation.is_champion:
            client.set_registered_model_alias(name, Alias.CHALLENGER, version)
        run.set_tags({Tag.PROMOTION_OUTCOME: Outcome.REFUSED})
        return
    if evaluation.was_promoted:
        run.set_tags({Tag.PROMOTION_OUTCOME: Outcome.CONFIRMED})
        return
    verify(client, client.get_model_version(name, version))
    client.set_registered_model_alias(name, Alias.CHALLENGER, version)
    previous = "" if champion is None or evaluation.is_champion else str(champion.version)
    move_champion(run, name, version, previous, run.run_id)
    client.delete_registered_model_alias(name, Alias.CHALLENGER)
    run.set_tags({Tag.PROMOTION_OUTCOME: Outcome.PROMOTED})


def move_champion(run: StepRun, name: str, version: str, previous: str, promotion_run_id: str) -> None:
    """Announce the move on the run, then move the alias `champion`.

    Args:
        run: run of the promotion or rollback, which holds the promotion lock.
        name: name of the registered model.
        version: version that becomes champion; it passed.
        previous: version that was champion; empty if there was none.
        promotion_run_id: id of the run whose evaluation says that it passed.
    """
    client = run.client
    set_tags(client, name, version, {VersionTag.STATUS: Status.PASSED, VersionTag.PROMOTION_RUN_ID: promotion_run_id})
    run.set_tags({Tag.PROMOTION_TO: version, **({Tag.PROMOTION_FROM: previous} if previous else {})})
    client.set_registered_model_alias(name, Alias.CHAMPION, version)
    if previous:
        set_tags(client, name, previous, {VersionTag.STATUS: Status.RETIRED})


def _decision(invocation: Invocation, evaluation: Evaluation, run: Run, dry_run: bool) -> Decision:
    """The decision that a promotion run made, by the figures that it has."""
    client, name = invocation.client, invocation.config.registered_model
    results = stored_results(client, run, evaluation.gates)
    version = versions_by_proxy(client, name).get(evaluation.selected)
    champion, before = version_by_alias(client, name), evaluation.champion
    return Decision(
        run_id=run.info.run_id,
        candidate=evaluation.candidate,
        version=str(version.version) if version else "",
        results=results,
        passed=all(result.passed for result in results),
        is_champion=bool(version and champion and version.version == champion.version),
        reason=run.data.tags.get(Tag.PROMOTION_PROPOSED, evaluation.reason),
        champion=str(champion.version) if champion else "",
        previous=str(before.version) if before and champion and before.version != champion.version else "",
        dry_run=dry_run,
        not_answered=evaluation.not_answered,
        whose=standing_sentence(client, before, run) if before and evaluation.was_promoted else "",
    )
