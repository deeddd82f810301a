"""An experiment's run: cells with the metrics of their inputs, stored results, figure and table; or its reuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlproject.config.schema import load_config
from mlproject.curve import Curve
from mlproject.experiments import run as run_module
from mlproject.experiments.results import load_result
from mlproject.experiments.run import experiment_step, run_experiment
from mlproject.experiments.spec import Experiment, plan_cells
from mlproject.pipeline.step import Step

EXPERIMENT = Experiment(
    name="mine",
    finding="Something holds",
    paper="",
    options={},
    grids=[{"method": ["ppo"], "rm_size": ["1k", "3k"]}],
    figure={"x": "rm_size", "y": ["peak/gold"]},
    table={"rows": "rm_size", "values": ["peak/gold", "rm/val_loss"]},
)


@pytest.fixture(scope="module")
def cells() -> list[Step]:
    return plan_cells(EXPERIMENT, load_config("smoke", {}))


class FakeInvocation:
    """Runs nothing: policy run i has peak gold i; its proxy and pool have metrics of their own."""

    def __init__(self, cells: list[Step], folder: Path, reused: bool) -> None:
        self.made: tuple[Step, ...] = ()
        self.finished: list[Step] = []
        self.ids = {step: f"run {i}" for i, step in enumerate(cells)}
        self.client = SimpleNamespace(get_run=self._get_run)
        self.scheduler = SimpleNamespace(
            start=lambda step: None if reused else SimpleNamespace(folder=folder),
            finish=lambda step, run: self.finished.append(step),
            outcomes={step: SimpleNamespace(run_id=run_id, reused=False) for step, run_id in self.ids.items()},
        )

    def make(self, *steps: Step) -> None:
        self.made = steps

    def run_id_of(self, step: Step) -> str:
        return self.ids[step]

    def _get_run(self, run_id: str) -> Any:
        metrics = {"rm": {"rm/val_loss": 0.5}, "pool": {"pool/gold_mean": 0.1}}.get(run_id)
        tags = {"mlproject.inputs": json.dumps({"proxy-rm": "rm", "pool": "pool", "gold-rm": "gold"})}
        metrics = metrics or {"peak/gold": float(run_id.split()[1])}
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id), data=SimpleNamespace(metrics=metrics, tags=tags))


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    gold_SP = np.array([[0.0, 0.0], [1.0, 1.1]])
    curve = Curve(np.arange(2), np.array([0.0, 1.0]), gold_SP, gold_SP)
    monkeypatch.setattr(run_module, "curve_of", lambda client, run_id: curve)
    monkeypatch.setattr(run_module, "execute", lambda run, work: work(run))


def test_the_run_lists_the_cells_and_stores_their_results_figure_and_table(cells: list[Step], tmp_path: Path) -> None:
    invocation = FakeInvocation(cells, tmp_path, reused=False)
    step = run_experiment(invocation, EXPERIMENT, cells, {"preset": "smoke"}, None)  # type: ignore[arg-type]
    assert invocation.made == tuple(cells) and invocation.finished == [step]
    with (tmp_path / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run_id"] for row in rows] == ["run 0", "run 1"]
    result = load_result("mine", tmp_path / "results")
    assert dict(result.about) == {"preset": "smoke"}
    for i, (cell, size) in enumerate(zip(result.cells, ("1k", "3k"), strict=True)):
        assert cell.metrics == {"peak/gold": i, "rm/val_loss": 0.5, "pool/gold_mean": 0.1}
        assert (cell.settings["rm_size"], cell.settings["method"], cell.settings["round"]) == (size, "ppo", 1)
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["peak/gold"].tolist() == [0.0, 1.0] and table["rm/val_loss"].tolist() == [0.5, 0.5]
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("reused", [True, False])
def test_results_are_also_stored_in_a_folder_even_if_the_run_is_reused(
    cells: list[Step], tmp_path: Path, reused: bool
) -> None:
    invocation = FakeInvocation(cells, tmp_path / "run", reused)
    (tmp_path / "run").mkdir()
    run_experiment(invocation, EXPERIMENT, cells, {}, tmp_path / "results")  # type: ignore[arg-type]
    assert len(load_result("mine", tmp_path / "results").cells) == 2
    assert (tmp_path / "run" / "cells.csv").exists() is not reused
    assert len(invocation.finished) == (0 if reused else 1)


def test_a_reused_run_without_a_folder_reads_no_cell(cells: list[Step], tmp_path: Path) -> None:
    invocation = FakeInvocation(cells, tmp_path, reused=True)
    invocation.client = SimpleNamespace()
    assert run_experiment(invocation, EXPERIMENT, cells, {}, None) == experiment_step(EXPERIMENT, cells)  # type: ignore[arg-type]
    assert invocation.made == tuple(cells) and list(tmp_path.iterdir()) == []
