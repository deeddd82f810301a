"""What we write as JSON is JSON: readers that know no NaN take it."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path

import numpy as np
import pytest

import mlproject
from mlproject.strict_json import strict_json

PACKAGE = Path(mlproject.__file__).parent


def read(text: str) -> object:
    """As a reader does that keeps to the standard."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_what_is_not_finite_is_null_at_any_depth():
    value = {
        "a": math.nan, "b": [1.5, (math.inf, {"c": -math.inf})], "d": np.float32("nan"), "e": np.array([1.0, np.nan]),
        "f": np.int64(3), "g": True, "h": "nan",
    }  # fmt: skip
    assert read(strict_json(value)) == {
        "a": None, "b": [1.5, [None, {"c": None}]], "d": None, "e": [1.0, None], "f": 3, "g": True, "h": "nan",
    }  # fmt: skip


@pytest.mark.parametrize("layout", [{}, {"indent": 1}, {"sort_keys": True}, {"separators": (",", ":")}])
def test_finite_values_are_written_as_json_writes_them(layout):
    value = {"b": [1, 2.5, -0.0, 1e300, "é\ud83d"], "a": {"x": None, "y": False}, "c": (1, 2)}
    assert strict_json(value, **layout) == json.dumps(value, **layout)


def test_what_json_has_no_form_for_is_refused_or_turned_into_what_it_has():
    with pytest.raises(TypeError, match="no form for a set"):
        strict_json({"a": {1}})
    assert strict_json({"a": {1}}, default=list) == '{"a": [1]}'


def test_nothing_else_writes_json():
    for path in PACKAGE.rglob("*.py"):
        if path.name == "strict_json.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("dump", "dumps", "log_dict", "to_json"):
                owner = ast.unparse(node.value)
                assert owner in ("pickle", "yaml"), f"{path}:{node.lineno}: {owner}.{node.attr}"
