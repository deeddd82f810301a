"""What the documentation shows works: its commands are accepted, its Python runs or at least binds, its pages agree."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from mlproject.cli.parser import parse_command_line
from mlproject.config.schema import option_names, parse
from mlproject.curve import CurvePoint
from mlproject.experiments.spec import load_experiment

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
        *(ROOT / folder / "README.md" for folder in ("model_registry", "experiments", "benchmarks")),
        *DOCS.rglob("*.md"),
    ]
)
TOOLS = {
    "ray",
    "pip",
    "python",
    "python3",
    "mlflow",
    "mlproject",
    "cp",
    "cd",
    "export",
    "git",
    "make",
    "mkdocs",
    "pre-commit",
}
TOOLS |= {"pytest", "ruff", "mypy", "torchrun", "srun", "optuna-dashboard", "curl", ".", "source", "grep", "head"}
EXECUTED = {"tutorials/stop_in_time.md"}
"""Pages whose Python blocks are one program, run from top to bottom."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    fenced = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
            if match[1] in languages:
                fenced.append(Block(page, text[: match.start()].count("\n") + 2, match[1], match[2]))
    return fenced


def commands(text: str) -> Iterator[list[str]]:
    """The simple commands of a shell block, as words, without comments, assignments and redirections."""
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r">+ *\S+", "", line) if not line.lstrip().startswith("#") else ""
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word not in ("&&", "||", "|", ";", "&"):
                words.append(word)
                continue
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                yield words
            words = []


def arguments(words: list[str]) -> list[str] | None:
    """What a command hands to our command line; None where it is somebody else's."""
    if words[:2] == ["mlflow", "run"] or words[0] == "...":
        name, rest = "main", []
        pairs = iter(words)
        for word in pairs:
            if word == "-e":
                name = next(pairs)
            elif word == "-P":
                key, _, value = next(pairs).partition("=")
                rest += [f"--{key}", value]
        return [name, *rest]
    if "mlproject" in words and (words[0] == "mlproject" or words[words.index("mlproject") - 1] == "-m"):
        return words[words.index("mlproject") + 1 :]
    return None


@pytest.mark.parametrize("block", blocks("bash", "sh"), ids=str)
def test_every_command_is_one_that_exists_with_options_that_it_accepts(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("own.yaml", "my.yaml"):
        (tmp_path / name).write_text((ROOT / "examples" / "own.yaml").read_text())
    for words in commands(block.text):
        assert words[0] in TOOLS | {"..."}, f"unknown program {words[0]!r}"
        if (ours := arguments(words)) is not None:
            parse_command_line(["own.yaml" if word.startswith("YOUR_") else word for word in ours])
        for word in words:
            if re.fullmatch(r"(benchmarks|examples|tests|model_registry|experiments)/\S+\.\w+", word):
                assert (ROOT / word).exists(), f"{word} does not exist"


def imported(tree: ast.AST) -> dict[str, object]:
    """What a program imports from this project, by the names that it gives it; each import must resolve."""
    names: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "mlproject":
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                names[alias.asname or alias.name] = getattr(module, alias.name)
    return names


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_python_block_compiles_and_calls_what_exists_as_it_is_called(block):
    page = ast.parse("\n".join(each.text for each in blocks("python") if each.page == block.page))
    names = imported(page)  # a page imports once
    for node in ast.walk(ast.parse(block.text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        called = names.get(node.func.id)
        if not callable(called) or any(isinstance(argument, ast.Starred) for argument in node.args):
            continue
        keywords = {keyword.arg: None for keyword in node.keywords if keyword.arg}
        inspect.signature(called).bind(*[None] * len(node.args), **keywords)


def test_project_names_in_python_blocks_are_imported_on_their_page():
    for block in blocks("python"):
        page = ast.parse("\n".join(each.text for each in blocks("python") if each.page == block.page))
        known = set(imported(page)) | set(dir(builtins))
        public = set(importlib.import_module("mlproject").__all__)
        used = {node.id for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Name)}
        assert not (used & public) - known, block


@pytest.mark.parametrize("page", sorted(EXECUTED))
def test_the_python_of_a_page_that_can_be_pasted_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = "\n".join(block.text for block in blocks("python") if block.page == DOCS / page)
    namespace: dict[str, object] = {}
    exec(compile(program, page, "exec"), namespace)
    assert "stop: " in capsys.readouterr().out
    planted, last = namespace["peak_d"] ** 2, namespace["monitor"].points[-1].kl  # type: ignore[operator, attr-defined]
    assert 0.8 * planted < last < 3 * planted, "it ends near the planted peak"
    assert (tmp_path / "my_run.csv").exists()


def test_the_readme_s_forecast_loop_stops_past_the_planted_peak():
    (block,) = [block for block in blocks("python") if block.page.name == "README.md" and "Forecast" in block.text]
    noise_P = np.random.default_rng(0).normal(0, 0.1, 64)
    d_S = np.linspace(0, 6, 60)
    gold_S = d_S * (1.0 - 0.25 * d_S)  # peaks at d = 2, 4 nats
    points = [
        CurvePoint(i, d**2, proxy_P=d + 0 * noise_P, gold_P=gold + noise_P * (d > 0))
        for i, (d, gold) in enumerate(zip(d_S, gold_S, strict=True))
    ]
    namespace: dict[str, object] = {"points": points}
    exec(compile(block.text, "README.md", "exec"), namespace)
    assert 2 < namespace["point"].kl < 12  # type: ignore[attr-defined]


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_yaml_block_is_one_that_the_project_reads(block, tmp_path):
    content = yaml.safe_load(block.text)
    if "grids" in content:
        path = tmp_path / "question.yaml"
        path.write_text(block.text)
        load_experiment(str(path))
    elif set(content) & set(option_names()):
        for name, value in content.items():
            parse(name, value)


def test_every_page_is_in_the_navigation_of_the_site():
    class Loader(yaml.SafeLoader):
        pass

    navigation = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["nav"]
    entries = re.findall(r"[\w/]+\.md", yaml.dump(navigation))
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} <= set(entries)
    assert len(entries) == len(set(entries))


def test_the_tables_of_the_page_on_early_warning_are_those_of_the_findings_page() -> None:
    (results,) = re.findall(r"^## Results$(.*?)^## ", (DOCS / "early_warning.md").read_text(), re.M | re.S)
    rows = [line for line in results.splitlines() if line.startswith("|")]
    findings = set((DOCS / "findings.md").read_text().splitlines())
    assert len(rows) > 10
    assert [row for row in rows if row not in findings] == []
