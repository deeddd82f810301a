"""docs/tracking.md, the contract of the tracking server, and `mlproject.names` say the same."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import pytest

from mlproject.names import artifacts, metrics, params, registry, runs, search, statistics, tags
from mlproject.names.table import NameSpec, NameTable

PAGE = (Path(__file__).parents[2] / "docs" / "tracking.md").read_text(encoding="utf-8")
TABLES: dict[str, NameTable] = {
    "Experiments": runs.EXPERIMENTS,
    "Kinds": runs.KINDS,
    "Roles": runs.ROLES,
    "Tags": tags.TAGS,
    "What plays gold": runs.GOLD_KINDS,
    "Tags of MLflow": tags.MLFLOW_TAGS,
    "Params": params.PARAMS,
    "Splits of the prompts": runs.SPLITS,
    "Metrics": metrics.METRICS,
    "Statistics": statistics.STATISTICS,
    "Diagnostics": statistics.DIAGNOSTICS,
    "Artifacts": artifacts.ARTIFACTS,
    "Stages of a curve": runs.STAGE_NAMES,
    "Metrics of logged models": metrics.CHECKPOINT_METRICS,
    "Aliases": registry.ALIASES,
    "Tags of versions": registry.VERSION_TAGS,
    "Values of status": registry.STATUSES,
    "Values of promotion.action": registry.ACTIONS,
    "Values of promotion.verdict": registry.GATE_RESULTS,
    "Values of promotion.outcome": registry.OUTCOMES,
    "Optuna trials": search.TRIAL_ATTRIBUTES,
}
"""By the heading under which each stands; the metrics have headings of their own below that."""
FIELDS = {"name": "name", "meaning": "meaning", "written": "when", "unit": "unit", "since": "since"}
"""Fields of a `NameSpec` by the heads of the page's columns."""


def sections() -> dict[str, str]:
    """Text under each heading of the page; what stands under a lower heading belongs to that one alone."""
    parts = re.split(r"^#+ (.*)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> list[NameSpec]:
    """The names in the tables of a text."""
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if line[:1] == "|"]
    if not lines:
        return []
    head, _, *body = lines
    fields = [FIELDS[name] for name in head]
    return [NameSpec(**dict(zip(fields, [cells[0].strip("`"), *cells[1:]], strict=True))) for cells in body]


def documented(heading: str) -> list[NameSpec]:
    """The names under a heading of the page; those of the metrics under all the headings below it."""
    if heading != "Metrics":
        return rows(sections()[heading])
    [part] = re.findall(r"^## Metrics$(.*?)^## ", PAGE, flags=re.MULTILINE | re.DOTALL)
    return list(chain.from_iterable(rows(text) for text in re.split(r"^### .*$", part, flags=re.MULTILINE)))


@pytest.mark.parametrize("heading", TABLES)
def test_page_and_code_list_the_same_names_with_the_same_meaning_unit_and_version(heading):
    expected = list(TABLES[heading])
    assert [spec.name for spec in documented(heading)] == [spec.name for spec in expected]
    assert documented(heading) == expected


def test_every_table_of_the_page_is_compared():
    compared = sum(len(documented(heading)) for heading in TABLES)
    in_page = sum(len(rows(text)) for text in sections().values())
    assert compared == in_page > 300


def test_every_table_of_the_code_is_on_the_page():
    modules = (artifacts, metrics, params, registry, runs, search, statistics, tags)
    in_code = {id(value) for module in modules for value in vars(module).values() if isinstance(value, NameTable)}
    assert in_code == {id(table) for table in TABLES.values()}


def test_every_number_has_a_unit():
    tables = (metrics.METRICS, metrics.CHECKPOINT_METRICS, statistics.STATISTICS, statistics.DIAGNOSTICS)
    assert [spec.name for table in tables for spec in table if not spec.unit] == []


def test_every_name_says_since_when_it_is_written():
    assert {spec.since for table in TABLES.values() for spec in table} <= {"0.1.0", "0.2.0"}
