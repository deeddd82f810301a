"""What a study recommends, as plain data."""

from __future__ import annotations

from typing import Any

from mlproject.recommendation.record import to_dict
from mlproject.report.comparison import comparison_of, comparison_record, lines_of_comparison
from mlproject.report.recommended import evidence_of_report, outcome_of, recommendation_of
from mlproject.report.records import Report


def record_of(report: Report) -> dict[str, Any]:
    """The content of `recommendation.json`: see `to_dict`; of a table of scored samples with its comparison."""
    recommendation, comparison = recommendation_of(report), comparison_of(report)
    record = to_dict(recommendation, evidence_of_report(report), outcome_of(report))
    if comparison.rms:
        record |= comparison_record(comparison)
        record["sentences"] += lines_of_comparison(comparison, recommendation)
    return record
