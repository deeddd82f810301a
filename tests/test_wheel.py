"""The wheel holds all that the package needs: a study runs from it in an empty folder, without a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path

import pytest

import mlproject

ROOT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, offline."""
    copy = tmp_path_factory.mktemp("sources")
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    subprocess.run(command, cwd=copy, check=True, capture_output=True, text=True)
    [path] = (copy / "dist").glob("*.whl")
    return path


@pytest.fixture
def run(wheel: Path, tmp_path: Path) -> Run:
    """Runs `python -m mlproject` from the unpacked wheel, in an empty folder and with nothing of the checkout."""
    (tmp_path / "here").mkdir()
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment["PYTHONPATH"] = str(tmp_path / "site")

    def run_module(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, *(arguments if arguments[0] == "-c" else ("-m", "mlproject", *arguments))]
        return subprocess.run(command, cwd=tmp_path / "here", env=environment, capture_output=True, text=True)

    return run_module


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    package = ROOT / "src" / "mlproject"
    files = {
        path.relative_to(ROOT / "src").as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == files
    assert "mlproject/config/defaults/model_registry/gates.yaml" in names
    assert "mlproject/config/defaults/experiments/rm_size.yaml" in names


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Version"] == mlproject.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"{name.rpartition('/')[0]}/licenses/LICENSE" in archive.namelist()
    [scripts] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "mlproject = mlproject.__main__:main" in archive.read(scripts).decode()


def test_the_command_line_of_the_wheel_finds_its_data_without_a_checkout(run: Run, tmp_path: Path) -> None:
    where = run("-c", "import mlproject; print(mlproject.__file__)").stdout
    assert where.startswith(str(tmp_path / "site"))
    printed = run("config", "--preset", "smoke")
    assert "policy_size: 25k\n" in printed.stdout, printed.stderr
    refusal = run("experiment", "--name", "no_such_experiment")
    assert refusal.returncode == 2
    assert "must be one of direct_alignment, early_warning, " in refusal.stderr
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.slow
def test_a_study_and_an_experiment_run_from_the_wheel_in_an_empty_folder(run: Run, tmp_path: Path) -> None:
    study = run("main", "--preset", "smoke")
    assert study.returncode == 0, study.stderr
    assert "report.html" in study.stdout
    assert "instead of the copy in the package" not in study.stderr
    experiment = run("experiment", "--name", "rm_size", "--quick", "true")
    assert experiment.returncode == 0, experiment.stderr
    gates = tmp_path / "here" / "model_registry" / "gates.yaml"
    gates.parent.mkdir()
    packaged = tmp_path / "site" / "mlproject" / "config" / "defaults" / "model_registry" / "gates.yaml"
    gates.write_text(packaged.read_text() + "# ours\n")
    promotion = run("promote", "--preset", "smoke", "--dry_run", "true")
    assert promotion.returncode in (0, 3), promotion.stderr
    assert f"using {gates} instead of the copy in the package" in promotion.stderr
