"""The findings page, written from stored results alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from mlproject.errors import UserError
from mlproject.experiments.findings import claims, page
from mlproject.experiments.findings.claims import FINDINGS, Claim, Finding, finding_function, sign_verdict, verdict
from mlproject.experiments.findings.page import write_page
from mlproject.experiments.results import Cell, Result, save_result
from mlproject.experiments.spec import experiment_names, load_experiment
from mlproject.laws import Estimate

MINE = {
    "finding": "Mine holds",
    "paper": "nowhere",
    "grids": [{"method": ["ppo"]}],
    "figure": {"x": "sqrt_kl", "y": ["gold"], "colour": "rm_size"},
    "table": {"rows": "rm_size", "values": ["peak/gold"]},
}
FOUND = Finding(
    claims=[Claim("Larger is better | always", "by 0.5 [0.4, 0.6]", "agree"), Claim("Never", "0 of 3", "disagree")],
    tables={"Details": pd.DataFrame({"what": ["a|b"], "n": [3]})},
    notes=["A note."],
)


METRICS = dict.fromkeys(("peak/kl", "law/alpha", "law/beta", "rm/val_accuracy"), 1.0)


def store_results(result: Result, folder: Path, draw: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Store the results of two packaged experiments and of one of the user."""
    (folder / "experiments").mkdir()
    (folder / "experiments" / "mine.yaml").write_text(yaml.safe_dump(MINE))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(page, "draw", draw)
    monkeypatch.setattr(page, "finding_function", lambda name: None if name == "mine" else lambda _: FOUND)
    cells = [replace(cell, metrics={**cell.metrics, **METRICS}) for cell in result.cells]
    for name in ("mine", "rl_vs_bon", "rm_size"):
        save_result(replace(result, name=name, cells=cells), Path("results"))
    return Path("results")


@pytest.fixture
def results(result: Result, tmp_path: Path, plain_figure: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the stored results, inside the current folder."""
    return store_results(result, tmp_path, plain_figure, monkeypatch)


@pytest.fixture(scope="module")
def text(result: Result, plain_figure: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of these results."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = store_results(result, tmp_path_factory.mktemp("page"), plain_figure, monkeypatch)
        write_page(folder, Path("docs/findings.md"))
        return Path("docs/findings.md").read_text()


def sections(text: str) -> dict[str, str]:
    _, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    return {part.split("\n")[0]: part for part in parts}


def test_every_stored_result_has_a_section_packaged_ones_first(text: str) -> None:
    by_name = sections(text)
    assert list(by_name) == ["rm_size", "rl_vs_bon", "mine"]
    assert "**Do larger reward models peak higher and later, and do the laws hold?**" in by_name["rm_size"]
    assert "section 3.2, figures 1, 3, 12, 26" in by_name["rm_size"]
    for name, section in by_name.items():
        assert f"mlflow run . --env-manager local -e experiment -P name={name} -P results=results\n" in section
        assert "18 policy runs, seeds 0, 1, 2, preset `smoke`" in section
        assert f"](figures/findings/{name}.png)" in section


def test_the_top_lists_every_claim_with_its_verdict_and_a_link(text: str) -> None:
    top = text.split("\n## ")[0]
    assert "`python -m mlproject findings`" in top
    rows = [line for line in top.splitlines() if line.startswith("| [")]
    assert rows == [
        row
        for name in ("rm_size", "rl_vs_bon")
        for row in (
            f"| [{name}](#{name}) | Larger is better \\| always | **agree** |",
            f"| [{name}](#{name}) | Never | **disagree** |",
        )
    ]


def test_a_section_contains_claims_tables_and_notes(text: str) -> None:
    section = sections(text)["rl_vs_bon"]
    for part in (
        "| Larger is better \\| always | by 0.5 [0.4, 0.6] | **agree** |",
        "| rm_size | peak/gold (best-of-n) | peak/gold (ppo) | peak/kl |",
        "\n- A note.\n",
        "\n*Details*\n\n| what | n |\n|---|---|\n| a\\|b | 3 |\n",
    ):
        assert part in section


def test_a_users_own_experiment_has_figure_and_table_and_no_claims(text: str) -> None:
    section = sections(text)["mine"]
    assert "**Mine holds** In the paper: nowhere." in section
    assert "| rm_size | peak/gold |" in section
    assert "verdict" not in section


def test_writing_again_gives_the_same_bytes_and_no_other_files(results: Path) -> None:
    written = [write_page(results, Path(folder, "findings.md")) for folder in ("one", "two")]
    for folder, files in zip(("one", "two"), written, strict=True):
        assert sorted(files) == sorted(path for path in Path(folder).rglob("*") if path.is_file())
    for first, second in zip(*written, strict=True):
        assert first.relative_to("one") == second.relative_to("two")
        assert first.read_bytes() == second.read_bytes()
    for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", Path("one/findings.md").read_text()):
        assert Path("one", link).read_bytes().startswith(b"\x89PNG")


def test_a_section_has_the_figure_that_its_experiment_specifies(
    results: Path, plain_figure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}

    def record(result: Result, spec: Any) -> Any:
        drawn[result.name] = spec
        return plain_figure(result, spec)

    monkeypatch.setattr(page, "draw", record)
    write_page(results, Path("findings.md"))
    assert drawn == {name: load_experiment(name).figure for name in ("rm_size", "rl_vs_bon", "mine")}
    assert drawn["mine"] == MINE["figure"]


def test_nothing_is_written_if_one_result_cannot_be_read(results: Path) -> None:
    next((results / "curves").iterdir()).unlink()
    with pytest.raises(UserError, match="is missing or changed"):
        write_page(results, Path("docs/findings.md"))
    assert not Path("docs").exists()


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_results_is_refused_in_one_line(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "empty"
    if exists:
        folder.mkdir()
    with pytest.raises(UserError, match=f"^results={folder}: contains no results. Run `experiment"):
        write_page(folder, tmp_path / "findings.md")


def test_a_quick_result_is_shown_without_a_verdict_and_with_its_own_command(
    tmp_path: Path, cell: Callable[..., Cell], plain_figure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "draw", plain_figure)
    cells = [Cell(c.settings, {**c.metrics, **METRICS}, c.curve) for c in (cell(), cell(rm_size="3k"))]
    save_result(Result("rm_size", {"preset": "smoke", "quick": True}, cells), tmp_path / "results")
    write_page(tmp_path / "results", tmp_path / "findings.md")
    text = (tmp_path / "findings.md").read_text()
    assert "-P name=rm_size -P quick=true -P results=" in text
    assert "preset `smoke`." in text and "too small to evaluate" in text
    assert "**agree**" not in text and "**disagree**" not in text


def test_a_finding_with_too_few_points_is_a_note(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def analyse(result: Result) -> Finding:
        raise ValueError("a fit needs 3 points, got 2")

    monkeypatch.setattr(page, "finding_function", lambda name: analyse)
    write_page(results, Path("findings.md"))
    assert "- Claims not evaluated: a fit needs 3 points, got 2." in Path("findings.md").read_text()


def test_every_packaged_finding_has_an_experiment_and_a_function() -> None:
    for name in FINDINGS:
        assert name in experiment_names()
        assert callable(finding_function(name))
    assert finding_function("mine") is None


def test_a_finding_is_imported_only_when_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr(claims, "import_module", lambda name: imported.append(name) or SimpleNamespace(analyse=len))
    assert finding_function("rm_size") is len and imported == ["mlproject.experiments.findings.rm_size"]


def test_a_verdict_needs_exactly_one_of_its_conditions() -> None:
    assert [verdict(*both) for both in ((True, False), (False, True), (False, False), (True, True))] == [
        *("agree", "disagree", "cannot tell", "cannot tell")
    ]
    assert sign_verdict(Estimate(1.0, 0.5, 1.5), 1) == "agree"
    assert sign_verdict(Estimate(1.0, 0.5, 1.5), -1) == "disagree"
    assert sign_verdict(Estimate(1.0, -0.5, 2.5), 1) == "cannot tell"
    assert sign_verdict(Estimate(1.0, float("nan"), float("nan")), 1) == "cannot tell"
