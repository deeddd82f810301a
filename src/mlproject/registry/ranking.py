"""How the challenger is selected: of all candidates that pass the gates, the one with the highest peak gold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from mlproject.registry.gates import GateResult, Gates
from mlproject.registry.metrics import Evidence

Name = TypeVar("Name")


def rank_by_peak_gold(evidence: Mapping[Name, Evidence]) -> list[Name]:
    """Candidates by peak gold on the curve prompts, highest first."""
    return sorted(evidence, key=lambda name: -evidence[name].curve.peak().gold)


def select_challenger(
    gates: Gates, evidence: Mapping[Name, Evidence]
) -> tuple[Name | None, dict[Name, list[GateResult]]]:
    """Select the challenger, before the audit.

    Args:
        gates: the conditions. Gates that read the audit prompts are skipped, since only a challenger is audited.
        evidence: evidence on each candidate, by name.

    Returns:
        the candidate with the highest peak that passes, or None; and the results of all candidates that were checked,
        by name, highest peak first.
    """
    results: dict[Name, list[GateResult]] = {}
    for name in rank_by_peak_gold(evidence):
        results[name] = gates.check(evidence[name], audit=False)
        if all(result.passed for result in results[name]):
            return name, results
    return None, results
