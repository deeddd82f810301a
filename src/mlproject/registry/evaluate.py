"""Evaluates candidates for a promotion: measures what is missing, selects one, audits it and checks all gates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from mlproject.curve import Array, Curve, mean_and_se
from mlproject.errors import UserError
from mlproject.execution.jobs import Job, Request
from mlproject.laws.intervals import Z_975, Estimate
from mlproject.names import Alias, Artifact, Status, Tag, VersionTag
from mlproject.pipeline.audit import audit
from mlproject.pipeline.probes import probes
from mlproject.pipeline.step import Step
from mlproject.recommendation.proposal import Proposal, propose
from mlproject.registry.candidates import (
    Candidate,
    EvaluationContext,
    candidates_on_pool,
    evidence_of,
    run_ref,
    settings_of_candidates,
)
from mlproject.registry.champion import why_not_measurable
from mlproject.registry.gates import GateResult, Gates
from mlproject.registry.metrics import METRICS, Evidence
from mlproject.registry.ranking import rank_by_proposal, select_challenger
from mlproject.registry.versions import version_by_alias, versions_by_proxy
from mlproject.rewards.probes import read_results
from mlproject.tracking.run_data import artifact, curve_of

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation


@dataclass(frozen=True)
class Evaluation:
    """What a promotion is decided on. Candidates are identified by the run ids of their proxy RMs.

    Attributes:
        gates: the conditions.
        champion: version that was champion at the time; None if there was none.
        selected: the candidate that may be promoted.
        candidates: all reward models with a curve in this context.
        evidence: evidence on each candidate that could be selected.
        results: gate results of each candidate that was checked. Those of the selected one are complete, unless it
            failed before the audit.
        proposal: the order in which reward models are proposed, and why.
        named: whether the user named the candidate.
        champion_curve: the champion's curve in the same context; None if it was not needed.
        unanswered: gates that the evidence cannot answer, with the reason: of a table of samples, which were left out,
            or those that compare with a champion that cannot be measured in this context, which are not met.
    """

    gates: Gates
    champion: ModelVersion | None
    selected: str
    candidates: Mapping[str, Candidate]
    evidence: Mapping[str, Evidence]
    results: Mapping[str, Sequence[GateResult]]
    proposal: Proposal
    named: bool = False
    champion_curve: Curve | None = None
    unanswered: Mapping[str, str] = field(default_factory=dict)

    @property
    def candidate(self) -> Candidate:
        """The selected candidate."""
        return self.candidates[self.selected]

    @property
    def selected_results(self) -> Sequence[GateResult]:
        """The gate results of the selected candidate."""
        return self.results[self.selected]

    @property
    def order(self) -> list[str]:
        """The candidates that could be selected, in the order in which they are proposed."""
        return rank_by_proposal(self.proposal, self.candidates, self.evidence)

    @property
    def selected_setting(self) -> str:
        """Name of the selected candidate's reward model, as the recommendation calls it."""
        return self._setting_of(self.selected)

    @property
    def reason(self) -> str:
        """Why the selected candidate is proposed, and how that goes together with the recommendation."""
        failed = [
            f"{self.candidates[name].name} failed {', '.join(r.gate.name for r in results if not r.passed)}"
            for name, results in self.results.items()
            if name != self.selected and self._setting_of(name) != self.selected_setting
        ]
        return self.proposal.reason(self.selected_setting, failed if self.passed_before_audit else (), self.named)

    @property
    def audits(self) -> dict[str, Estimate]:
        """The selected candidate's gold on the audit prompts with a 95 % interval, by policy run; empty before it."""
        audit_P = self.evidence[self.selected].audit_P
        if audit_P is None:
            return {}
        gold, se = mean_and_se(audit_P)
        run_id = self.candidate.curves[self.gates.method].info.run_id
        return {run_id: Estimate(gold, gold - Z_975 * se, gold + Z_975 * se)}

    @property
    def passed_before_audit(self) -> bool:
        """Whether the selected candidate passed the gates that need no audit."""
        return all(result.passed for result in self.selected_results if not METRICS[result.gate.metric].needs_audit)

    def _setting_of(self, name: str) -> str:
        run_ids = {run.info.run_id for run in self.candidates[name].runs}
        names = (setting.rm for setting in self.proposal.order if run_ids & set(setting.run_ids.values()))
        return next(names, self.candidates[name].proxy.data.params["rm_size"])

    @property
    def is_champion(self) -> bool:
        """Whether the selected candidate already is champion."""
        return self.champion is not None and self.champion.tags.get(Tag.PROXY_RUN_ID) == self.selected

    @property
    def not_answered(self) -> str:
        """The gates that were not answered, with their reasons, in one sentence; empty where all could be checked."""
        reasons = [f"{name} ({reason})" for name, reason in self.unanswered.items()]
        return f"not answered: {', '.join(reasons)}." if reasons else ""

    @property
    def was_promoted(self) -> bool:
        """Whether it is champion because of a promotion, and not because the alias was moved by hand."""
        return self.is_champion and self.champion is not None and VersionTag.PROMOTION_RUN_ID in self.champion.tags

    @property
    def passed(self) -> bool:
        """Whether the selected candidate passed all gates that were checked."""
        return all(result.passed for result in self.selected_results)

    @property
    def only_margin_failed(self) -> bool:
        """Whether the margin over the champion is the only gate that failed."""
        return [result.gate.metric for result in self.selected_results if not result.passed] == ["margin"]


def evaluate(invocation: Invocation, gates: Gates, context: EvaluationContext, proxy: Run | None) -> Job[Evaluation]:
    """The job that measures what is missing and checks the gates.

    Args:
        invocation: runs the steps that are missing.
        gates: the conditions.
        context: policy, gold RM and prompts to measure with.
        proxy: run of the proxy RM to evaluate; None selects the first in the order of the recommendation that passes.

    Raises:
        UserError: if no candidate has a curve, or the champion is no proxy RM of this project.
    """
    client, name, method = invocation.client, invocation.config.registered_model, gates.method
    champion = version_by_alias(client, name)
    if proxy is None and invocation.scheduler.find(context.pool) is None:
        raise _no_curve(method)  # before the policy and gold are trained for a pool on which nothing was measured
    yield Request([context.pool, *([context.curve(proxy, method)] if proxy else [])])
    candidates = candidates_on_pool(client, invocation.store, context.config, invocation.run_id_of(context.pool))
    if proxy is not None:
        eligible = [proxy.info.run_id]
    else:
        statuses = {
            run_id: version.tags.get(VersionTag.STATUS) for run_id, version in versions_by_proxy(client, name).items()
        }
        eligible = sorted(
            run_id
            for run_id, candidate in candidates.items()
            if method in candidate.curves and statuses.get(run_id) != Status.RETIRED
        )
    if not eligible:
        raise _no_curve(method)
    evidence = {run_id: evidence_of(client, candidates[run_id], method) for run_id in eligible}
    if gates.need_probes:
        steps = {run_id: probes(context.config, run_ref(candidates[run_id].proxy), context.pool) for run_id in eligible}
        yield Request(list(steps.values()))
        evidence = {run_id: with_probes(invocation, evidence[run_id], step) for run_id, step in steps.items()}
    proposal = propose(settings_of_candidates(client, context.config, candidates), method)
    challenger, results = select_challenger(gates, evidence, rank_by_proposal(proposal, candidates, evidence))
    selected = challenger or next(iter(results))
    evaluation = Evaluation(
        gates, champion, selected, candidates, evidence, dict(results), proposal, named=proxy is not None
    )
    if challenger is None:
        return evaluation
    return (yield from _audited(invocation, context, evaluation))


def _no_curve(method: str) -> UserError:
    return UserError(
        f"promote: there is no finished {method} curve for this configuration. Run `main` or optimize against a "
        "proxy RM first, or give --proxy."
    )


def with_probes(invocation: Invocation, evidence: Evidence, step: Step) -> Evidence:
    """Evidence together with the probes that a finished step has measured."""
    path = artifact(invocation.client, invocation.run_id_of(step), Artifact.PROBES)
    return replace(evidence, probes=read_results(path))


def audit_early(invocation: Invocation, gates: Gates, context: EvaluationContext, curves: Sequence[Step]) -> Job[None]:
    """The job that evaluates, and so audits, the likely challenger while a study still does other things.

    Args:
        invocation, gates, context: as `evaluate` has them.
        curves: policy runs of the study, of which those by the gates' method are waited for.
    """
    outcomes = yield Request([step for step in curves if step.params["method"] == gates.method], further=1)
    if not all(outcome.reused for outcome in outcomes.values()):
        yield from evaluate(invocation, gates, context, None)


def _audited(invocation: Invocation, context: EvaluationContext, evaluation: Evaluation) -> Job[Evaluation]:
    """The evaluation with all gates checked, with candidate and champion measured on the same audit prompts."""
    client, selected = invocation.client, evaluation.selected
    audited, obstacle = [evaluation.candidate], ""
    if evaluation.champion is not None and not evaluation.is_champion:
        obstacle = why_not_measurable(client, context.config, invocation.run_id_of(context.pool), evaluation.champion)
        if not obstacle:
            audited.append((yield from _champion(invocation, context, evaluation, evaluation.champion)))
    method, gates = evaluation.gates.method, evaluation.gates
    audits = [
        audit(context.config, run_ref(each.curves[method]), run_ref(each.proxy), context.audit_pool, method)
        for each in audited
    ]
    probed = probes(context.config, run_ref(evaluation.candidate.proxy), context.pool)
    yield Request([*audits, probed])
    gold: list[Array] = [
        Curve.load(artifact(client, invocation.run_id_of(step), Artifact.AUDIT)).gold_SP[0] for step in audits
    ]
    evidence = replace(
        with_probes(invocation, evaluation.evidence[selected], probed),
        audit_P=gold[0],
        champion_audit_P=gold[1] if len(gold) > 1 else np.full_like(gold[0], math.nan) if obstacle else None,
    )
    compare = [gate.name for gate in gates.gates if METRICS[gate.metric].needs_audit]
    return replace(
        evaluation,
        evidence={**evaluation.evidence, selected: evidence},
        results={**evaluation.results, selected: gates.check(evidence, audit=True)},
        champion_curve=curve_of(client, audited[1].curves[method].info.run_id) if len(audited) > 1 else None,
        unanswered=dict.fromkeys(compare, obstacle) if obstacle else {},
    )


def _champion(
    invocation: Invocation, context: EvaluationContext, evaluation: Evaluation, champion: ModelVersion
) -> Job[Candidate]:
    """The champion with its curve in this context, which is measured if it is missing."""
    proxy_run_id, method = champion.tags.get(Tag.PROXY_RUN_ID), evaluation.gates.method
    if proxy_run_id is None:
        raise UserError(
            f"{champion.name} version {champion.version}: the {Alias.CHAMPION} must be a proxy RM of this project, "
            "since it is measured again. Remove the alias or use another registered_model."
        )
    candidate = evaluation.candidates.get(proxy_run_id)
    if candidate is not None and method in candidate.curves:
        return candidate
    proxy = invocation.client.get_run(proxy_run_id)
    curve = context.curve(proxy, method)
    yield Request([curve])
    return Candidate(proxy, {method: invocation.client.get_run(invocation.run_id_of(curve))})
