"""A page of planted results with the packaged findings."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlproject.errors import UserError
from mlproject.experiments.findings import page
from mlproject.experiments.findings.page import write_page
from mlproject.experiments.results import Result, save_result

MINE = {
    "finding": "Mine",
    "grids": [{"method": ["ppo"]}],
    "figure": {"x": "kl_coef", "y": ["peak/gold"]},
    "table": {"rows": "seed", "values": ["peak/gold"]},
}
NAMES = ["kl_penalty", "kl_by_size", "alpha", "zeta"]


@pytest.fixture
def results(plant: Any, plain_figure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of two packaged experiments and of two in `experiments/` of the current folder."""
    planter = plant()
    cells = []
    for (i, coef), size, seed in itertools.product(enumerate((0.0, 0.1, 0.3)), ("1k", "25k"), (0, 1)):
        height = 0.8 + 0.2 * (size == "25k") + 0.02 * seed * (-1) ** i
        metrics = {"curve/kl": 9.0 - i, "curve/proxy": 2.0}
        settings = {"method": "ppo", "kl_coef": coef, "rm_size": size, "seed": seed}
        cells.append(planter.cell(planter.hill(height, 1.5 + 0.2 * seed), metrics=metrics, **settings))
    monkeypatch.setattr(page, "draw", plain_figure)
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    for name in sorted(NAMES):
        if name in ("alpha", "zeta"):
            Path("experiments", f"{name}.yaml").write_text(yaml.safe_dump(MINE))
        selected = [cell for cell in cells if name != "kl_penalty" or cell.settings["rm_size"] == "1k"]
        save_result(Result(name, {"preset": "study"}, selected), Path("results"))
    return Path("results")


def test_packaged_findings_come_first_then_own_experiments_in_alphabetical_order(results: Path) -> None:
    write_page(results, Path("out/findings.md"))
    text = Path("out/findings.md").read_text()
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == NAMES
    top, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    verdicts = re.findall(r"^\| \[(\w+)\].*\| \*\*(agree|disagree|cannot tell)\*\* \|$", top, flags=re.MULTILINE)
    assert [name for name, _ in verdicts] == ["kl_penalty"] * 5 + ["kl_by_size"] * 2
    for name, section in zip(NAMES, sections, strict=True):
        in_section = re.findall(r"\| \*\*(agree|disagree|cannot tell)\*\* \|$", section, flags=re.MULTILINE)
        assert in_section == [verdict for of, verdict in verdicts if of == name]
    assert not re.search(r"\bnan\b", text)
    links = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(links) == len(NAMES) and all(Path("out", link).is_file() for link in links)


def test_a_changed_curve_is_refused_and_the_earlier_page_stays(results: Path) -> None:
    written = write_page(results, Path("out/findings.md"))
    before = {path: path.read_bytes() for path in written}
    broken = sorted((results / "curves").iterdir())[-1]
    broken.write_bytes(broken.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=f"{broken.name}: must exist") as error:
        write_page(results, Path("out/findings.md"))
    assert "\n" not in str(error.value)
    after = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    assert after == before
