"""Measures what a promotion rests on: curves, and for a challenger and the champion the audit; then asks the gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from mlproject.curve import Array, Curve
from mlproject.errors import UserError
from mlproject.names import Alias, Artifact, Status, Tag, VersionTag
from mlproject.pipeline.audit import audit
from mlproject.registry.candidates import Candidate, Ground, candidates_on, evidence_of, run_ref
from mlproject.registry.gates import Gates, Verdict
from mlproject.registry.metrics import Evidence
from mlproject.registry.ranking import choose
from mlproject.registry.versions import (
    holder,
    versions_by_proxy,
)
from mlproject.tracking.runs import artifact, curve_of

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation


@dataclass(frozen=True)
class Judgement:
    """What a promotion decides on. Names are run ids of proxy RMs.

    Attributes:
        gates: the conditions.
        ground: what was measured on.
        champion: the version that was champion when this was measured; None where there was none.
        chosen: the candidate that is judged.
        candidates: all that have a curve.
        evidence: of those that could have been chosen.
        verdicts: of those that were judged; of the chosen one they are complete, unless it failed before the audit.
        champion_curve: of the champion, on the same ground; None where it was not needed.
    """

    gates: Gates
    ground: Ground
    champion: ModelVersion | None
    chosen: str
    candidates: Mapping[str, Candidate]
    evidence: Mapping[str, Evidence]
    verdicts: Mapping[str, Sequence[Verdict]]
    champion_curve: Curve | None = None

    @property
    def candidate(self) -> Candidate:
        return self.candidates[self.chosen]

    @property
    def answer(self) -> Sequence[Verdict]:
        """The verdicts on the chosen one."""
        return self.verdicts[self.chosen]

    @property
    def is_champion(self) -> bool:
        """Whether the chosen one is champion already."""
        return self.champion is not None and self.champion.tags.get(Tag.PROXY_RUN_ID) == self.chosen

    @property
    def was_promoted(self) -> bool:
        """Whether it is champion by a promotion: somebody may have moved the alias by hand."""
        return self.is_champion and self.champion is not None and VersionTag.PROMOTION_RUN_ID in self.champion.tags

    @property
    def passed(self) -> bool:
        return all(verdict.holds for verdict in self.answer)

    @property
    def failed_only_margin(self) -> bool:
        return [verdict.gate.metric for verdict in self.answer if not verdict.holds] == ["margin"]


def judge(invocation: Invocation, gates: Gates, ground: Ground, wanted: Run | None) -> Judgement:
    """Measure, and ask the gates.

    Args:
        invocation: makes what is missing.
        gates: the conditions.
        ground: what candidates are measured on.
        wanted: the proxy RM to be judged; None judges the one that the rule chooses.

    Raises:
        UserError: where there is no candidate with a curve, or a champion that cannot be measured.
    """
    client, name, method = invocation.client, invocation.config.registered_model, gates.method
    champion = holder(client, name)
    invocation.make(ground.pool, *([ground.curve(wanted, method)] if wanted else []))
    candidates = candidates_on(client, invocation.store, ground.config, invocation.run_id_of(ground.pool))
    if wanted is not None:
        eligible = [wanted.info.run_id]
    else:
        statuses = {
            run_id: version.tags.get(VersionTag.STATUS) for run_id, version in versions_by_proxy(client, name).items()
        }
        eligible = sorted(
            run_id
            for run_id, known in candidates.items()
            if method in known.curves and statuses.get(run_id) != Status.RETIRED
        )
    if not eligible:
        raise UserError(
            f"promote: no finished {method} curve for this configuration; run `main` or an optimization against a "
            "proxy first, or give --proxy"
        )
    evidence = {run_id: evidence_of(client, candidates[run_id], method) for run_id in eligible}
    chosen, verdicts = choose(gates, evidence)
    judgement = Judgement(gates, ground, champion, chosen or next(iter(verdicts)), candidates, evidence, dict(verdicts))
    if chosen is None or judgement.was_promoted:
        return judgement
    return _audited(invocation, judgement)


def _audited(invocation: Invocation, judgement: Judgement) -> Judgement:
    """The judgement with all gates asked, champion and candidate measured on the same audit prompts."""
    client, chosen = invocation.client, judgement.chosen
    measured = [judgement.candidate]
    if judgement.champion is not None and not judgement.is_champion:
        measured.append(_champion(invocation, judgement, judgement.champion))
    method, ground = judgement.gates.method, judgement.ground
    audits = [
        audit(ground.config, run_ref(each.curves[method]), run_ref(each.proxy), ground.audit_pool, method)
        for each in measured
    ]
    invocation.make(*audits)
    gold: list[Array] = [
        Curve.load(artifact(client, invocation.run_id_of(step), Artifact.AUDIT)).gold_SP[0] for step in audits
    ]
    evidence = replace(judgement.evidence[chosen], audit_P=gold[0], champion_audit_P=gold[1] if len(gold) > 1 else None)
    return replace(
        judgement,
        evidence={**judgement.evidence, chosen: evidence},
        verdicts={**judgement.verdicts, chosen: judgement.gates.judge(evidence, audit=True)},
        champion_curve=curve_of(client, measured[1].curves[method].info.run_id) if len(measured) > 1 else None,
    )


def _champion(invocation: Invocation, judgement: Judgement, champion: ModelVersion) -> Candidate:
    """The champion's curve on this ground, made where there is none."""
    proxy_run_id, method = champion.tags.get(Tag.PROXY_RUN_ID), judgement.gates.method
    if proxy_run_id is None:
        raise UserError(
            f"{champion.name} version {champion.version}: is {Alias.CHAMPION} but no proxy RM of this project, so it "
            "cannot be measured; take the alias away, or name another registered_model"
        )
    known = judgement.candidates.get(proxy_run_id)
    if known is not None and method in known.curves:
        return known
    proxy = invocation.client.get_run(proxy_run_id)
    curve = judgement.ground.curve(proxy, method)
    invocation.make(curve)
    return Candidate(proxy, {method: invocation.client.get_run(invocation.run_id_of(curve))})
