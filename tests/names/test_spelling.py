"""Names of the tracking server are spelled in `mlproject.names` and nowhere else in the source."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from mlproject.names import artifacts, metrics, runs, tags

PACKAGE = Path(__file__).parents[2] / "src" / "mlproject"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "names")
DATA = sorted(path for ending in ("html", "jinja", "yaml") for path in PACKAGE.rglob(f"*.{ending}"))
"""Templates and experiments: data, which people copy and change, so they spell names."""
PREFIXES = (
    {f"{spec.name.partition('/')[0]}/" for spec in metrics.METRICS if "/" in spec.name}
    | {f"{spec.name.partition('.')[0]}." for spec in (*tags.TAGS, *tags.MLFLOW_TAGS) if "." in spec.name}
    | {spec.name.partition("<")[0] for spec in runs.ROLES if "<" in spec.name}
)
"""Beginnings that distinguish names from other texts."""
WORDS = {
    spec.name
    for table in (tags.TAGS, artifacts.ARTIFACTS, runs.KINDS, runs.ROLES)
    for spec in table
    if re.search(r"[./-]", spec.name)
}
"""Further names that are no words of the language, so that nothing else is written like them."""
KINDS_AND_ROLES = {spec.name for table in (runs.KINDS, runs.ROLES) for spec in table}
ALLOWED = {"mlflow.db": "the default tracking database"}
INDEXED = {"by_kind", "inputs"}
"""Mappings by kind or by role."""
CALLS = {"input", "checkpoint"}
"""Methods of a run whose first argument is a role."""


def is_module(text: str) -> bool:
    """Whether a text names a module of this project or of MLflow."""
    try:
        return find_spec(text.partition(":")[0].rstrip(".")) is not None
    except (ImportError, ValueError):
        return False


def is_a_name(text: str) -> bool:
    if text in ALLOWED:
        return False
    return text in WORDS or (text.startswith(tuple(PREFIXES)) and " " not in text.strip() and not is_module(text))


def texts(tree: ast.AST) -> list[ast.Constant]:
    """Text constants, docstrings apart."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [node for node in constants if id(node) not in docstrings]


def bare_kinds_and_roles(tree: ast.AST) -> list[ast.Constant]:
    """Text constants where a kind or a role is expected."""
    nodes: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            nodes += [keyword.value for keyword in node.keywords if keyword.arg == "kind"]
            if isinstance(node.func, ast.Attribute) and node.func.attr in CALLS and node.args:
                nodes.append(node.args[0])
            inputs = [keyword.value for keyword in node.keywords if keyword.arg == "inputs"]
            nodes += [key for value in inputs if isinstance(value, ast.Dict) for key in value.keys]
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("by_kind", "inputs")
        ):
            nodes.append(node.slice)
    return [node for node in nodes if isinstance(node, ast.Constant) and node.value in KINDS_AND_ROLES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_name_is_spelled_outside_names(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    spelled = [node for node in texts(tree) if is_a_name(node.value)] + bare_kinds_and_roles(tree)
    assert not [f"{path.name}:{node.lineno}: {node.value!r}" for node in spelled]


@pytest.mark.parametrize("path", DATA, ids=lambda path: path.name)
def test_data_files_name_metrics_that_exist(path):
    prefixes = "|".join(re.escape(prefix) for prefix in sorted(PREFIXES) if prefix.endswith("/"))
    named = re.findall(rf"(?<![\w/.])(?:{prefixes})[\w-]+(?![\w/.])", path.read_text(encoding="utf-8"))
    assert [name for name in named if not metrics.METRICS.covers(name)] == []


def test_the_walk_finds_what_it_looks_for():
    source = """
run.set_tags({"mlproject.kind": "x", f"mlproject.how.{name}": 1})
run.log_metrics({"curve/kl": 1.0, f"signs/{name}": 2.0})
(folder / "curve.npz").write_text("a sentence about curve/kl and mlproject.kind")
import_module("mlproject.names")
"""
    spelled = {node.value for node in texts(ast.parse(source)) if is_a_name(node.value)}
    assert spelled == {"mlproject.kind", "mlproject.how.", "curve/kl", "signs/", "curve.npz"}
    calls = 'Step(kind="law", inputs={"pool": pool}); run.input("gold-rm"); by_kind["law"]'
    assert [node.value for node in bare_kinds_and_roles(ast.parse(calls))] == ["law", "pool", "gold-rm", "law"]
