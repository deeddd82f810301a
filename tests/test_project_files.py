"""MLproject, conda.yaml, constraints and the command line agree."""

import ast
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from mlflow.projects._project_spec import load_project
from mlflow.utils.environment import _PythonEnv

from mlproject.cli.entry_points import DEFAULT_PRESET, ENTRY_POINTS, PRESET

ROOT = Path(__file__).parents[1]


def pins(lines) -> dict[str, str]:
    return {name.lower(): version for name, version in (line.split("==") for line in lines if "==" in line)}


@pytest.fixture(scope="module")
def project():
    return load_project(str(ROOT))


@pytest.fixture(scope="module")
def constraints():
    return pins((ROOT / "constraints.txt").read_text().split())


def test_mlproject_and_command_line_have_the_same_entry_points(project):
    assert set(project._entry_points) == set(ENTRY_POINTS)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_mlproject_declares_the_parameters_of_an_entry_point(project, name):
    declared = project.get_entry_point(name).parameters
    expected = {p.name: p.default for p in (PRESET, *ENTRY_POINTS[name].parameters)}
    assert {key: parameter.default for key, parameter in declared.items()} == expected


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_mlproject_hands_every_parameter_on_under_its_own_name(project, name):
    parameters = {p.name: "some-value" for p in (PRESET, *ENTRY_POINTS[name].parameters)} | {"n_comparisons": "500"}
    command = project.get_entry_point(name).compute_command(parameters, None)
    assert re.match(rf"PYTHONPATH=src python -m mlproject {name} ", command)
    for key, value in parameters.items():
        assert f"--{key} {value}" in command


def test_the_default_preset_is_the_same_in_both_places(project):
    assert project.get_entry_point("main").parameters["preset"].default == DEFAULT_PRESET


def test_mlflow_reads_python_and_all_pins_from_conda_yaml(constraints):
    environment = _PythonEnv.from_conda_yaml(str(ROOT / "conda.yaml"))
    assert environment.python == "3.11"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[A-Za-z0-9_.-]+", requirement).group(0) for requirement in declared}
    read = pins(environment.dependencies)
    assert read == {name: constraints[name] for name in names}


def test_what_the_extras_bring_is_pinned_too(constraints):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {
        re.match(r"[A-Za-z0-9_.-]+", requirement).group(0).lower() for many in extras.values() for requirement in many
    }
    assert names <= set(constraints), "pip must know the tested version of each"


def test_conda_yaml_does_not_install_the_project_itself():
    # MLflow caches environments by the content of this file: a second checkout would run the first one's code.
    requirements = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"][-1]["pip"]
    assert not [line for line in requirements if line.startswith(("-e", ".")) or "mlproject" in line]


def test_torch_is_pinned_without_a_local_version(constraints):
    assert constraints["torch"] == "2.13.0"


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_what_a_benchmark_imports_from_the_package_is_there(script):
    """Benchmarks run by hand alone; one that names something that has moved would be found by nobody."""
    imports = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.ImportFrom)]
    names = [(node.module, each.name) for node in imports if node.module.startswith("mlproject") for each in node.names]
    missing = [
        f"{module}.{name}"
        for module, name in names
        if not hasattr(importlib.import_module(module), name) and importlib.util.find_spec(f"{module}.{name}") is None
    ]
    assert not missing
