"""How the challenger is selected: the first candidate that passes the gates, in the order of the recommendation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from mlproject.recommendation.proposal import Proposal
from mlproject.registry.candidates import Candidate
from mlproject.registry.gates import GateResult, Gates
from mlproject.registry.metrics import Evidence

Name = TypeVar("Name")


def rank_by_peak_gold(evidence: Mapping[Name, Evidence]) -> list[Name]:
    """Candidates by peak gold on the curve prompts, highest first."""
    return sorted(evidence, key=lambda name: -evidence[name].curve.peak().gold)


def rank_by_proposal(
    proposal: Proposal, candidates: Mapping[str, Candidate], evidence: Mapping[str, Evidence]
) -> list[str]:
    """Candidates in the order of a proposal; of the seeds of a reward model the one with the highest peak first.

    Args:
        proposal: order of the reward models.
        candidates: by run id of the proxy RM.
        evidence: on those that may be promoted.

    Returns:
        all names of `evidence`.
    """
    place = {
        run_id: index for index, setting in enumerate(proposal.order) for run_id in setting.run_ids.values()
    }  # by policy run

    def key(name: str) -> int:
        run_ids = [run.info.run_id for run in candidates[name].runs]
        return min((place[run_id] for run_id in run_ids if run_id in place), default=len(place))

    return sorted(rank_by_peak_gold(evidence), key=key)


def select_challenger(
    gates: Gates, evidence: Mapping[Name, Evidence], order: Sequence[Name] | None = None
) -> tuple[Name | None, dict[Name, list[GateResult]]]:
    """Select the challenger, before the audit.

    Args:
        gates: the conditions. Gates that read the audit prompts are skipped, since only a challenger is audited.
        evidence: evidence on each candidate, by name.
        order: in which the candidates are checked; by default by peak gold.

    Returns:
        the first candidate that passes, or None; and the results of all candidates that were checked, by name, in
        order.
    """
    results: dict[Name, list[GateResult]] = {}
    for name in rank_by_peak_gold(evidence) if order is None else order:
        results[name] = gates.check(evidence[name], audit=False)
        if all(result.passed for result in results[name]):
            return name, results
    return None, results
