"""Local copies of packaged files win, and are named where they differ."""

from pathlib import Path

import pytest

from mlproject.config import packaged
from mlproject.config.packaged import DEFAULTS, folders, packaged_or_local

ROOT = Path(__file__).parents[2]
GATES = ("model_registry", "gates.yaml")


@pytest.fixture
def without_checkout(tmp_path, monkeypatch):
    """A current folder without copies, and a package that was not installed from a checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packaged, "_CHECKOUT", tmp_path / "nowhere")
    return tmp_path


def test_without_a_local_copy_the_packages_own_is_used(without_checkout, capsys):
    assert packaged_or_local(*GATES) == DEFAULTS / "model_registry" / "gates.yaml"
    assert folders("model_registry") == [DEFAULTS / "model_registry"]
    assert capsys.readouterr().err == ""


def test_a_copy_in_the_current_folder_wins_and_is_named_once(without_checkout, capsys):
    local = without_checkout / "model_registry" / "gates.yaml"
    local.parent.mkdir()
    local.write_text("method: ppo\n")
    assert packaged_or_local(*GATES) == packaged_or_local(*GATES) == local
    assert capsys.readouterr().err == f"mlproject: using {local} instead of the copy in the package\n"


def test_a_copy_that_equals_the_packages_own_is_used_without_a_word(without_checkout, capsys):
    local = without_checkout / "model_registry" / "gates.yaml"
    local.parent.mkdir()
    local.write_bytes((DEFAULTS / "model_registry" / "gates.yaml").read_bytes())
    assert packaged_or_local(*GATES) == local
    assert capsys.readouterr().err == ""


def test_the_current_folder_wins_over_the_checkout_and_the_checkout_over_the_package(tmp_path, monkeypatch):
    here, checkout = tmp_path / "here", tmp_path / "checkout"
    for folder in (here, checkout):
        (folder / "model_registry").mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setattr(packaged, "_CHECKOUT", checkout)
    (checkout / "model_registry" / "gates.yaml").write_text("method: ppo\n")
    assert packaged_or_local(*GATES) == checkout / "model_registry" / "gates.yaml"
    (here / "model_registry" / "gates.yaml").write_text("method: ppo\n")
    assert packaged_or_local(*GATES) == here / "model_registry" / "gates.yaml"


def test_a_file_that_nobody_has_is_an_error(without_checkout):
    with pytest.raises(FileNotFoundError, match=r"nothing\.yaml"):
        packaged_or_local("model_registry", "nothing.yaml")


@pytest.mark.parametrize("folder", ["model_registry", "experiments"])
def test_the_package_holds_the_files_of_the_repository(folder):
    repository = {
        path.name: path.read_bytes()
        for path in (ROOT / folder).iterdir()
        if path.is_file() and path.name != "README.md"
    }
    assert repository
    assert {path.name: path.read_bytes() for path in (DEFAULTS / folder).iterdir()} == repository
