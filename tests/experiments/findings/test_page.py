"""The findings page, written from kept results alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from mlproject.errors import UserError
from mlproject.experiments.findings import claims, page
from mlproject.experiments.findings.claims import FINDINGS, Claim, Finding, finding_function, sign_verdict, verdict
from mlproject.experiments.findings.page import write_page
from mlproject.experiments.results import Cell, Result, save_result
from mlproject.experiments.spec import experiment_names
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
    tables={"Further": pd.DataFrame({"what": ["a|b"], "n": [3]})},
    notes=["A note."],
)


METRICS = dict.fromkeys(("peak/kl", "law/alpha", "law/beta", "rm/val_accuracy"), 1.0)


def lay_out(result: Result, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep two results of the project's and one of the user's, who stands beside them."""
    (folder / "experiments").mkdir()
    (folder / "experiments" / "mine.yaml").write_text(yaml.safe_dump(MINE))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(page, "finding_function", lambda name: None if name == "mine" else lambda _: FOUND)
    cells = [replace(cell, metrics={**cell.metrics, **METRICS}) for cell in result.cells]
    for name in ("mine", "rl_vs_bon", "rm_size"):
        save_result(replace(result, name=name, cells=cells), Path("results"))
    return Path("results")


@pytest.fixture
def kept(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the results; the current one is that above it."""
    return lay_out(result, tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def text(result: Result, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of these results."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        write_page(lay_out(result, tmp_path_factory.mktemp("page"), monkeypatch), Path("docs/findings.md"))
        return Path("docs/findings.md").read_text()


def sections(text: str) -> dict[str, str]:
    _, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    return {part.split("\n")[0]: part for part in parts}


def test_every_kept_result_has_a_section_the_papers_first(text: str) -> None:
    found = sections(text)
    assert list(found) == ["rm_size", "rl_vs_bon", "mine"]
    assert "**Do larger reward models peak higher and later, and do the laws hold?**" in found["rm_size"]
    assert "section 3.2, figures 1, 3, 12, 26" in found["rm_size"]
    for name, section in found.items():
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


def test_a_section_holds_claims_table_notes_and_further_tables(text: str) -> None:
    section = sections(text)["rl_vs_bon"]
    for part in (
        "| Larger is better \\| always | by 0.5 [0.4, 0.6] | **agree** |",
        "| rm_size | peak/gold (best-of-n) | peak/gold (ppo) | peak/kl |",
        "\n- A note.\n",
        "\n*Further*\n\n| what | n |\n|---|---|\n| a\\|b | 3 |\n",
    ):
        assert part in section


def test_a_users_own_experiment_has_figure_and_table_and_no_claims(text: str) -> None:
    section = sections(text)["mine"]
    assert "**Mine holds** In the paper: nowhere." in section
    assert "| rm_size | peak/gold |" in section
    assert "verdict" not in section


def test_writing_again_elsewhere_gives_the_same_bytes_and_leaves_nothing_else(kept: Path) -> None:
    written = [write_page(kept, Path(folder, "findings.md")) for folder in ("one", "two")]
    for folder, files in zip(("one", "two"), written, strict=True):
        assert sorted(files) == sorted(path for path in Path(folder).rglob("*") if path.is_file())
    for first, second in zip(*written, strict=True):
        assert first.relative_to("one") == second.relative_to("two")
        assert first.read_bytes() == second.read_bytes()
    for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", Path("one/findings.md").read_text()):
        assert Path("one", link).read_bytes().startswith(b"\x89PNG")


def test_nothing_is_written_where_one_result_cannot_be_read(kept: Path) -> None:
    next((kept / "curves").iterdir()).unlink()
    with pytest.raises(UserError, match="is missing or was changed"):
        write_page(kept, Path("docs/findings.md"))
    assert not Path("docs").exists()


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_results_is_refused_in_one_line(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "empty"
    if there:
        folder.mkdir()
    with pytest.raises(UserError, match=f"^results={folder}: nothing is kept there; run `experiment"):
        write_page(folder, tmp_path / "findings.md")


def test_a_quick_result_is_shown_without_a_verdict_and_with_its_own_command(
    tmp_path: Path, cell: Callable[..., Cell]
) -> None:
    cells = [Cell(c.settings, {**c.metrics, **METRICS}, c.curve) for c in (cell(), cell(rm_size="3k"))]
    save_result(Result("rm_size", {"preset": "smoke", "quick": True}, cells), tmp_path / "kept")
    write_page(tmp_path / "kept", tmp_path / "findings.md")
    text = (tmp_path / "findings.md").read_text()
    assert "-P name=rm_size -P quick=true -P results=" in text
    assert "preset `smoke`." in text and "too small to judge" in text
    assert "**agree**" not in text and "**disagree**" not in text


def test_a_reader_that_lacks_points_is_a_note_and_not_a_failure(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(result: Result) -> Finding:
        raise ValueError("a fit needs 3 points, got 2")

    monkeypatch.setattr(page, "finding_function", lambda name: read)
    write_page(kept, Path("findings.md"))
    assert "- Not judged: a fit needs 3 points, got 2." in Path("findings.md").read_text()


def test_every_experiment_that_ships_and_is_named_has_a_reader() -> None:
    for name in FINDINGS:
        assert name in experiment_names()
        assert callable(finding_function(name))
    assert finding_function("mine") is None


def test_a_reader_is_imported_only_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(claims, "import_module", lambda name: asked.append(name) or SimpleNamespace(analyse=len))
    assert finding_function("rm_size") is len and asked == ["mlproject.experiments.findings.rm_size"]


def test_a_verdict_needs_exactly_one_of_its_conditions() -> None:
    assert [verdict(*both) for both in ((True, False), (False, True), (False, False), (True, True))] == [
        *("agree", "disagree", "cannot tell", "cannot tell")
    ]
    assert sign_verdict(Estimate(1.0, 0.5, 1.5), 1) == "agree"
    assert sign_verdict(Estimate(1.0, 0.5, 1.5), -1) == "disagree"
    assert sign_verdict(Estimate(1.0, -0.5, 2.5), 1) == "cannot tell"
    assert sign_verdict(Estimate(1.0, float("nan"), float("nan")), 1) == "cannot tell"
