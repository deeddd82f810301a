"""An axis letter means one thing: names, shapes and docstrings are compared with the table in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "mlproject"
FILES = sorted(PACKAGE.rglob("*.py"))
NAME = re.compile(r"_*[a-z][a-z0-9_]*_((?=\d*[A-Z])[A-Z0-9]+)")
"""A name whose suffix is axis letters, and that suffix."""
SHAPE = re.compile(r"[Ss]hapes?: ((?:\([A-Z0-9, *]*\)(?: -> |, )?)+)")
DECLARATION = re.compile(r"Axis letters: (.*?)\.?(?:\n\n|$)", re.DOTALL)
ENTRY = re.compile(r"(?:^|, )([A-Z]) ([^,(]+)")


@cache
def table() -> dict[str, str]:
    """Meaning of each letter."""
    section = (ROOT / "docs" / "architecture.md").read_text().split("## Axis letters")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| ([A-Z]) \| (.+) \|$", section, re.MULTILINE))


@cache
def docstrings(path: Path) -> list[str]:
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = [ast.get_docstring(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, nodes)]
    return [text for text in texts if text]


@cache
def used(path: Path) -> dict[str, str]:
    """The letters of names and shapes in a file, each with an example."""
    letters: dict[str, str] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        for field in ("id", "attr", "arg", "name"):
            name = getattr(node, field, None)
            suffix = NAME.fullmatch(name) if isinstance(name, str) else None
            letters |= dict.fromkeys(re.findall("[A-Z]", suffix[1]), name) if suffix else {}
    for text in docstrings(path):
        for shape in SHAPE.findall(text):
            letters |= dict.fromkeys(re.findall("[A-Z]", shape), shape)
    return letters


def declared(path: Path) -> dict[str, str]:
    """The letters that the docstrings of a file declare, with their meanings."""
    declarations = [match for text in docstrings(path) for match in DECLARATION.findall(text)]
    return {letter: words for each in declarations for letter, words in ENTRY.findall(" ".join(each.split()))}


def nouns(text: str) -> set[str]:
    """The words of a text of more than three letters, in the singular."""
    return {re.sub(r"s$", "", word) for word in re.findall("[a-z]{4,}", text.lower())}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_uses_letters_of_the_table_with_their_meaning(path: Path) -> None:
    unknown = {letter: example for letter, example in used(path).items() if letter not in table()}
    assert not unknown, f"not in docs/architecture.md: {unknown}"
    for letter, words in declared(path).items():
        assert nouns(words) <= nouns(table()[letter]), f"{letter} is {table()[letter]!r}, not {words!r}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_that_declares_its_letters_declares_all_of_them(path: Path) -> None:
    if declared(path):
        assert not set(used(path)) - set(declared(path)), used(path)


def test_the_checks_find_a_letter_that_is_unknown_undeclared_or_means_something_else(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""Axis letters: P policies, S curve points."""\nscores_XP = 0\nids_1T = scores_XP.values_3\n')
    assert set(used(path)) == {"X", "P", "T"} and declared(path) == {"P": "policies", "S": "curve points"}
    assert "X" not in table() and not nouns("policies") <= nouns(table()["P"])
    other = tmp_path / "other.py"
    other.write_text('def f():\n    """Gives many. Shape: (B, Y)."""\n')
    assert set(used(other)) == {"B", "Y"}
