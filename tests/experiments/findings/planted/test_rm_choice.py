"""Regret of choosing a reward model, planted so that accuracy prefers the worst one, or the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mlproject.experiments.findings import rm_choice
from mlproject.experiments.findings.claims import Finding
from mlproject.experiments.results import Cell

Analyse = Callable[[str, Sequence[Cell]], Finding]


@pytest.fixture(autouse=True)
def few_splits(monkeypatch):
    monkeypatch.setattr(rm_choice, "SPLITS", 20)


def candidates(plant: Any, accuracy_misleads: bool) -> list[Cell]:
    """Peaks 0.6 to 1.5, far apart compared with the noise; accuracy .7 to .88 in the opposite order, or the same."""
    planter, cells = plant(), []
    for i in range(10):
        height, accuracy = 0.6 + 0.1 * i, 0.7 + 0.02 * (9 - i if accuracy_misleads else i)
        cells.append(
            planter.cell(
                planter.hill(height, 1.8),
                lambda d, i=i: (1.0 - 0.02 * i) * d,  # the worst has the highest proxy score
                d_S=np.linspace(0.0, 2.0, 21),  # not far beyond the peak: they all pass
                seed=i,
                sd=0.05,
                metrics={"rm/val_accuracy": accuracy, "rm/val_loss": 1 - accuracy, "rm/ece": 0.02},
            )
        )
    return cells


def regrets(finding: Finding) -> dict[tuple[str, str], float]:
    [table] = finding.tables.values()
    return {(row["chosen by"], row["among"]): float(row["mean regret"].rstrip("%")) for _, row in table.iterrows()}


def test_the_gates_choose_the_best_where_accuracy_chooses_the_worst(plant: Any, analyse: Analyse) -> None:
    finding = analyse("rm_choice", candidates(plant, accuracy_misleads=True))
    regret = regrets(finding)
    assert regret["our gates, all candidates at once", "all 10"] == pytest.approx(0.0, abs=0.5)
    assert regret["our gates, one candidate after another", "all 10"] == pytest.approx(0.0, abs=0.5)
    assert regret["validation accuracy", "all 10"] == pytest.approx(60.0, abs=1)  # 1 - .6 / 1.5
    assert regret["proxy score", "all 10"] == pytest.approx(60.0, abs=1)
    assert [claim.verdict for claim in finding.claims] == ["agree"] * 3


def test_the_verdict_on_accuracy_is_disagree_if_it_is_a_good_guide(plant: Any, analyse: Analyse) -> None:
    finding = analyse("rm_choice", candidates(plant, accuracy_misleads=False))
    assert regrets(finding)["validation accuracy", "all 10"] == pytest.approx(0.0, abs=0.5)
    assert finding.claims[1].verdict == "disagree"
