"""The public face: every name resolves, is documented by an example that runs, and importing it costs nothing."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mlproject

SOURCE = Path(mlproject.__file__)
CONSTANTS = {"FORMS", "SIGNALS"}
HEAVY = ("torch", "transformers", "mlflow", "optuna", "numpy", "pandas", "matplotlib", "yaml")


def typed_imports() -> set[tuple[str, str]]:
    """(module, name) of the imports for type checkers."""
    [block] = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If) and not node.orelse][:1]
    imports = {
        (str(node.module), alias) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert all(alias.name == alias.asname for _, alias in imports), (
        "`X as X` is what type checkers take for a re-export"
    )
    return {(module, alias.name) for module, alias in imports}


def test_type_checkers_see_what_is_imported_lazily():
    assert typed_imports() == {(mlproject._MODULE_OF[name], name) for name in mlproject.__all__}


@pytest.mark.parametrize("name", mlproject.__all__)
def test_every_public_name_is_what_its_module_defines(name):
    assert getattr(mlproject, name) is getattr(importlib.import_module(mlproject._MODULE_OF[name]), name)
    assert name in dir(mlproject)
    assert name in mlproject.__doc__, "the module's docstring lists the public names"


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'mlproject' has no attribute 'Forcast'"):
        _ = mlproject.Forcast
    with pytest.raises(ImportError, match="cannot import name 'Forcast'"):
        exec("from mlproject import Forcast")


@pytest.fixture(scope="module")
def folder_with_models(tmp_path_factory, tiny_tokenizer):
    """A folder with a policy and a reward model, which the examples of live policies read."""
    from mlproject.models.init import new_policy, new_reward_model
    from mlproject.models.prompt_format import PromptFormat
    from mlproject.models.reward_model import RewardModel

    folder = tmp_path_factory.mktemp("models")
    new_policy("25k", tiny_tokenizer, 0).save_pretrained(folder / "policy")
    tiny_tokenizer.save_pretrained(folder / "policy")
    RewardModel(new_reward_model("1k", tiny_tokenizer, 0)).save(
        folder / "reward-model", PromptFormat(tiny_tokenizer, 8)
    )
    return folder


@pytest.mark.parametrize("name", sorted(set(mlproject.__all__) - CONSTANTS))
def test_the_example_of_every_public_name_runs(name, request, monkeypatch):
    value = getattr(mlproject, name)
    assert value.__doc__, name
    [test] = doctest.DocTestFinder(recurse=False).find(value, name, globs={})
    assert test.examples, f"{name} has no example"
    assert any(each.source.startswith("from mlproject import") for each in test.examples)
    with_models = ("mlproject.models", "mlproject.cures", "mlproject.integrations", "mlproject.monitoring.policy")
    if value.__module__.startswith(with_models):
        monkeypatch.chdir(request.getfixturevalue("folder_with_models"))
    output: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=output.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(output)


def run(code: str) -> str:
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def test_importing_the_package_imports_nothing_heavy():
    assert run(f"import sys, mlproject; print([name for name in {HEAVY} if name in sys.modules])") == "[]"


@pytest.mark.parametrize("name", ["Curve", "Forecast", "OveroptimizationMonitor", "BestOfN", "load_config", "SIGNALS"])
def test_what_needs_numpy_alone_imports_neither_torch_nor_trackers(name):
    heavy = set(HEAVY) - {"numpy", "yaml"}
    assert run(f"import sys; from mlproject import {name}; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_importing_the_package_takes_under_0_3_seconds():
    seconds = []
    for _ in range(3):  # the machine may be busy: the fastest counts
        start = time.perf_counter()
        run("import mlproject")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.3


def test_the_reference_page_lists_every_public_name_once():
    page = (Path(__file__).parents[1] / "docs" / "reference" / "api.md").read_text()
    assert sorted(re.findall(r"^::: mlproject\.(\w+)$", page, re.M)) == mlproject.__all__
