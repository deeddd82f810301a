"""Every experiment that ships, in its quick size, from one command; then the page."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlproject.experiments.results import load_result
from mlproject.experiments.spec import experiment_names


def run(store: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{store}/mlflow.db"}
    command = [sys.executable, "-m", "mlproject", *arguments]
    return subprocess.run(command, cwd=store, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_every_experiment_is_carried_out_kept_and_shown(tmp_path):
    answer = run(tmp_path, "experiment", "--name", "all", "--quick", "true", "--results", "kept")
    assert answer.returncode == 0, answer.stderr
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    studies = client.get_experiment_by_name("overoptimization/studies").experiment_id
    found = client.search_runs([studies], "tags.`mlproject.kind` = 'experiment'")
    assert {run.data.params["name"] for run in found} == set(experiment_names())
    for experiment in found:
        folder = Path(experiment.info.artifact_uri.removeprefix("file://"))
        rows = list(csv.DictReader((folder / "cells.csv").open()))
        assert len(rows) == int(experiment.data.params["cells"])
        kept = load_result(experiment.data.params["name"], tmp_path / "kept")
        assert len(kept.cells) == len(rows)
        assert all(client.get_run(row["run_id"]).info.status == "FINISHED" for row in rows)
        assert (folder / "figure.png").stat().st_size > 5000
        assert len((folder / "table.csv").read_text().splitlines()) >= 2
    again = run(tmp_path, "experiment", "--name", "all", "--quick", "true")
    assert again.returncode == 0, again.stderr
    assert len(client.search_runs([studies], "tags.`mlproject.kind` = 'experiment'")) == len(found)
    assert run(tmp_path, "findings", "--results", "kept", "--page", "page.md").returncode == 0
    page = (tmp_path / "page.md").read_text()
    assert all(f"## {name}" in page for name in experiment_names())
