"""Invented inputs of every kind: each is refused in one line, or it works and what comes of it makes sense."""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from collections import Counter
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.configuration import set_hypothesis_home_dir
from tests.fuzz.kinds import KINDS, outcome

FEW = 25
"""Cases of each kind that are always tried, the same on every machine; fewer of the kinds that take long."""

CAMPAIGN = 10_000
"""Cases of a campaign, over all kinds."""

SLOW = {"checkpoints": 6, "chat templates": 10, "whole commands": 3, "logged curves": 10}
LONGEST_SECONDS = 20.0
"""Processor time for one case."""


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left() -> Any:
    """What hypothesis keeps lies in a folder that is removed."""
    with tempfile.TemporaryDirectory() as folder:
        set_hypothesis_home_dir(folder)
        yield


@pytest.fixture
def root(tmp_path: Path, empty_database: Path) -> Path:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


def try_cases(name: str, root: Path, cases: int, derandomize: bool) -> Counter[str]:
    """Counts of what became of the cases; the smallest one that is neither refused nor works is raised."""
    counts = Counter[str]()
    kind = KINDS[name]

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=derandomize,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        phases=[Phase.generate],  # a case is shown as it was invented: to make it smaller takes minutes
        report_multiple_bugs=False,
    )
    @given(kind.cases)
    def claim(case: Any) -> None:
        since = time.process_time()
        folder = Path(tempfile.mkdtemp(dir=root))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore" if name == "curve points" else "error", RuntimeWarning)
                counts[outcome(kind, case, folder)] += 1
        finally:
            shutil.rmtree(folder)
        assert time.process_time() - since < LONGEST_SECONDS

    claim()
    return counts


@pytest.mark.parametrize("name", KINDS)
def test_a_few_inputs_are_refused_in_one_line_or_work(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert try_cases(name, root, SLOW.get(name, FEW), derandomize=True)


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.parametrize("name", KINDS)
def test_a_campaign(name: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    cases = ceil(CAMPAIGN * KINDS[name].share / sum(kind.share for kind in KINDS.values()))
    counts = try_cases(name, root, cases, derandomize=False)
    with capsys.disabled():
        print(f"\n{name}: {sum(counts.values())} tried, {counts['works']} work, {counts['refused']} refused, 0 failed")
