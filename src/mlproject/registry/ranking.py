"""The rule of choice: of all candidates that pass the gates, the one whose gold peaks highest is put to the audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from mlproject.registry.gates import Gates, Verdict
from mlproject.registry.metrics import Evidence

Name = TypeVar("Name")


def ranked(evidence: Mapping[Name, Evidence]) -> list[Name]:
    """Candidates by peak gold on the curve prompts, the highest first."""
    return sorted(evidence, key=lambda name: -evidence[name].curve.peak().gold)


def choose(gates: Gates, evidence: Mapping[Name, Evidence]) -> tuple[Name | None, dict[Name, list[Verdict]]]:
    """The challenger, before the audit.

    Args:
        gates: those that need the audit prompts are left for later: only a challenger is shown to them.
        evidence: of every candidate.

    Returns:
        the highest that passes, or None; and the verdicts of all that were judged until then, the highest first.
    """
    verdicts: dict[Name, list[Verdict]] = {}
    for name in ranked(evidence):
        verdicts[name] = gates.judge(evidence[name], audit=False)
        if all(verdict.holds for verdict in verdicts[name]):
            return name, verdicts
    return None, verdicts
