"""Params of runs are options of the configuration, or listed in `mlproject.names.params`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from mlproject.config.schema import option_names
from mlproject.names.params import PARAMS

PACKAGE = Path(__file__).parents[2] / "src" / "mlproject"
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
KEYWORDS = {"params", "inherited_params"}
"""Arguments of a step that become params of its run."""


def keys(value: ast.AST) -> Iterator[str]:
    """Keys of all dictionaries in an expression; not of those inside a call, which has keys of its own."""
    if isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant):
                yield str(key.value)
            elif key is None:
                yield from keys(item)
    elif isinstance(value, ast.IfExp):
        yield from (*keys(value.body), *keys(value.orelse))
    elif isinstance(value, ast.BinOp):
        yield from (*keys(value.left), *keys(value.right))


def logged(tree: ast.AST) -> set[str]:
    """Params that a file gives to steps, or logs on runs."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Step", "replace"):
            names |= {key for keyword in node.keywords if keyword.arg in KEYWORDS for key in keys(keyword.value)}
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "log_params":
            names |= {key for argument in node.args for key in keys(argument)}
    return names


def test_every_param_that_the_source_writes_is_an_option_or_listed():
    listed = {*option_names(), *(spec.name for spec in PARAMS)}
    unlisted = {(path.name, name) for path, tree in TREES.items() for name in logged(tree) - listed}
    assert not unlisted


def test_every_listed_param_is_written_somewhere_and_is_no_option():
    constants = {
        node.value
        for path, tree in TREES.items()
        if path.parent.name != "names"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    composed = {"prompts_sha256"}  # from the name of the option and a key of what is known of its file
    assert {spec.name for spec in PARAMS} - constants == composed
    assert not {spec.name for spec in PARAMS} & set(option_names())


def test_the_walk_finds_params_of_steps_and_runs():
    source = """
Step("a", params={"one": 1, **config.select("two"), **({"three": 3} if x else {}), **call({"no": 0})}, tags={"no": 0})
run.log_params({"four": 4} | {"five": 5})
"""
    assert logged(ast.parse(source)) == {"one", "three", "four", "five"}
