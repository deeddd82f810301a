"""Evaluates the reward models of a table of scored samples for a promotion, by the gates that such a table can answer.

A column of scores is no model: a candidate is registered only where its checkpoint is given, and has been seen to give
the column's scores. No prompts of a table are set aside for an audit, so the margin over a champion is not answered:
where there is a champion, a candidate that passes everything else becomes challenger and no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlflow.entities.model_registry import ModelVersion

from mlproject.errors import UserError
from mlproject.execution.jobs import Job, Request
from mlproject.names import Tag
from mlproject.recommendation.measured import MeasuredRun, settings_of_runs
from mlproject.recommendation.proposal import propose
from mlproject.registry.candidates import Candidate, evidence_of
from mlproject.registry.evaluate import Evaluation
from mlproject.registry.gates import GateResult, Gates
from mlproject.registry.metrics import METRICS, Evidence
from mlproject.registry.ranking import rank_by_proposal
from mlproject.registry.versions import version_by_alias
from mlproject.samples.model_of_column import model_of_column
from mlproject.samples.steps import METHOD, ComparisonPlan

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation


@dataclass(frozen=True)
class SamplesCandidates:
    """The reward models of a table that a promotion may choose among.

    Attributes:
        plan: the steps of the table.
        column: the one to evaluate; empty: the first in the order of the recommendation that passes.
        models: checkpoint by column; only these can be registered.
    """

    plan: ComparisonPlan
    column: str = ""
    models: Mapping[str, str] = field(default_factory=dict)


def evaluate_samples(invocation: Invocation, gates: Gates, wanted: SamplesCandidates) -> Job[Evaluation]:
    """The job that measures the reward models of a table and checks the gates that it can answer.

    Args:
        invocation: runs the steps that are missing.
        gates: the conditions.
        wanted: the table, and what the user chose about it.

    Raises:
        UserError: for gates of another method.
    """
    if gates.method != METHOD.name:
        raise UserError(
            f"gates: method={gates.method}: must be {METHOD.name} with samples, which have no other curves. Give other "
            "gates."
        )
    client, name = invocation.client, invocation.config.registered_model
    champion = version_by_alias(client, name)
    given = wanted.models.items()
    models = {column: model_of_column(wanted.plan.samples, column, checkpoint) for column, checkpoint in given}
    yield Request([*wanted.plan.policy_runs, *models.values()])
    candidates: dict[str, Candidate] = {}
    for step in wanted.plan.policy_runs:
        run = client.get_run(invocation.run_id_of(step))
        model = models.get(step.params["rm_size"])
        proxy = client.get_run(invocation.run_id_of(model)) if model else run
        candidates[proxy.info.run_id] = Candidate(proxy, {METHOD.name: run}, {METHOD.name: run}, [run])
    evidence = {key: evidence_of(client, candidate, METHOD.name) for key, candidate in candidates.items()}
    measured = [
        MeasuredRun(METHOD.name, each.name, 0, 0, evidence[key].curve, each.runs[0].info.run_id)
        for key, each in candidates.items()
    ]
    proposal = propose(settings_of_runs(measured), METHOD.name)
    order = [
        key for key in rank_by_proposal(proposal, candidates, evidence) if wanted.column in ("", candidates[key].name)
    ]
    answers = {key: _answers(gates, evidence[key], _has_other_champion(champion, key)) for key in order}
    passing = (key for key in order if all(result.passed for result in answers[key] if _is_of_samples(result)))
    selected = next(passing, order[0])
    checked = order[: order.index(selected) + 1]
    return Evaluation(
        gates=gates,
        champion=champion,
        selected=selected,
        candidates=candidates,
        evidence={key: evidence[key] for key in order},
        results={key: answers[key] for key in checked},
        proposal=proposal,
        named=bool(wanted.column),
        unanswered=_unanswered(gates, answers[selected], evidence[selected]),
    )


def _has_other_champion(champion: ModelVersion | None, candidate: str) -> bool:
    return champion is not None and champion.tags.get(Tag.PROXY_RUN_ID) != candidate


def _is_of_samples(result: GateResult) -> bool:
    """Whether a gate reads no audit prompts."""
    return not METRICS[result.gate.metric].needs_audit


def _answers(gates: Gates, evidence: Evidence, has_champion: bool) -> list[GateResult]:
    """Results of the gates that the evidence answers, and, where there is a champion, of those that compare with it."""
    return [
        result
        for result in gates.check(evidence, audit=True)
        if math.isfinite(result.estimate.value) or (has_champion and not _is_of_samples(result))
    ]


def _unanswered(gates: Gates, answers: Sequence[GateResult], evidence: Evidence) -> dict[str, str]:
    """The other gates, with the reason why the evidence does not answer them."""
    reasons = {
        "margin": "no prompts were set aside on which nothing was chosen; `promote` with world=files measures it",
        "gold_at_kl": f"the curve ends at {evidence.curve.kl_S.max():.2g} nats",
        "gamma": "the curve has too few points for a law",
        "length_ratio": "the table has no responses",
        "repetition_rise": "the table has no responses",
    }
    answered = {result.gate for result in answers if math.isfinite(result.estimate.value)}
    return {
        gate.name: reasons.get(gate.metric, "the table does not hold it")
        for gate in gates.gates
        if gate not in answered
    }
