"""Pages that are written by hand say what the generated ones say."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_tables_of_the_page_on_early_warning_are_those_of_the_findings_page() -> None:
    (results,) = re.findall(r"^## What it was worth$(.*?)^## ", (DOCS / "early_warning.md").read_text(), re.M | re.S)
    rows = [line for line in results.splitlines() if line.startswith("|")]
    findings = set((DOCS / "findings.md").read_text().splitlines())
    assert len(rows) > 10
    assert [row for row in rows if row not in findings] == []
