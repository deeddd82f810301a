"""Stored results: small files that restore what was measured, and detect changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.errors import UserError
from mlproject.experiments.results import RESOLUTION, Cell, Result, load_result, save_result

S, P = 7, 40


def curve(seed: int, human: bool = True, statistics: bool = False) -> Curve:
    rng = np.random.default_rng(seed)
    scores = {name: rng.normal(size=(S, P)) for name in ("proxy_SP", "gold_SP", "human_SP")}
    if not human:
        del scores["human_SP"]
    kl_S = rng.random(S).cumsum()
    statistics_S = {"test_rm.1k": rng.normal(size=S), "length": 20 + rng.random(S)} if statistics else {}
    return Curve(steps_S=np.arange(S), kl_S=kl_S, statistics_S=statistics_S, **scores)


@pytest.fixture
def result() -> Result:
    cells = [
        Cell(
            {"method": "ppo", "rm_size": "3k", "seed": 0},
            {"peak/gold": 0.12345678, "rm/val_loss": 0.5},
            curve(0, statistics=True),
        ),
        Cell({"method": "ppo", "rm_size": "3k", "seed": 1}, {"peak/gold": -1.0}, curve(1, human=False)),
    ]
    return Result("a_finding", {"preset": "smoke"}, cells)


def test_a_result_is_restored_within_the_resolution(result: Result, tmp_path: Path) -> None:
    save_result(result, tmp_path)
    loaded = load_result("a_finding", tmp_path)
    assert (loaded.name, dict(loaded.about)) == ("a_finding", {"preset": "smoke"})
    for stored, cell in zip(loaded.cells, result.cells, strict=True):
        assert stored.settings == cell.settings
        assert stored.metrics == pytest.approx(cell.metrics, rel=1e-5)
        assert stored.curve.steps_S.tolist() == cell.curve.steps_S.tolist()
        assert stored.curve.kl_S.tolist() == cell.curve.kl_S.tolist()
        for name in ("proxy_SP", "gold_SP"):
            np.testing.assert_allclose(
                getattr(stored.curve, name), getattr(cell.curve, name), atol=RESOLUTION / 2 + 1e-9
            )
        assert set(stored.curve.statistics_S) == set(cell.curve.statistics_S)
        for name, values_S in cell.curve.statistics_S.items():
            assert stored.curve.statistics_S[name] == pytest.approx(values_S, rel=1e-6)
    assert set(loaded.cells[0].curve.statistics_S) == {"test_rm.1k", "length"}
    assert loaded.cells[0].curve.human_SP is not None
    assert loaded.cells[1].curve.human_SP is None


def test_a_curve_is_a_file_named_by_its_digest_and_stored_once(result: Result, tmp_path: Path) -> None:
    save_result(result, tmp_path)
    save_result(Result("another", {}, result.cells[:1]), tmp_path)
    files = sorted((tmp_path / "curves").iterdir())
    assert len(files) == 2
    for file in files:
        assert file.stem == hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    names = {row["sha256"][:16] for row in json.loads((tmp_path / "a_finding.json").read_text())["cells"]}
    assert names == {file.stem for file in files}


def test_the_same_result_gives_the_same_bytes(result: Result, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        save_result(result, tmp_path / folder)
    one, two = (sorted((tmp_path / folder).rglob("*.*")) for folder in ("one", "two"))
    assert [file.name for file in one] == [file.name for file in two]
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_changed_or_missing_curve_is_refused_in_one_line(result: Result, tmp_path: Path, damage: str) -> None:
    save_result(result, tmp_path)
    file = next((tmp_path / "curves").iterdir())
    if damage == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    else:
        file.unlink()
    with pytest.raises(UserError, match=file.name) as error:
        load_result("a_finding", tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_result_is_refused_with_the_command_that_creates_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"contains no rm_size\.json\. Run `experiment --name rm_size --results"):
        load_result("rm_size", tmp_path)


def test_scores_beyond_the_range_of_a_file_are_clipped_not_wrapped(tmp_path: Path) -> None:
    extreme = curve(0)
    extreme.gold_SP[0, :2] = 1e6, -1e6
    save_result(Result("extreme", {}, [Cell({}, {}, extreme)]), tmp_path)
    stored = load_result("extreme", tmp_path).cells[0].curve.gold_SP[0, :2]
    assert stored[0] > 300 and stored[1] < -300
