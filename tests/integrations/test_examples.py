"""The example that users copy."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "trl_grpo.py"


def test_without_trl_the_example_says_in_one_line_how_to_install_it(tmp_path):
    code = f"import runpy, sys; sys.modules['trl'] = None; runpy.run_path({str(EXAMPLE)!r})"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr == "trl is not installed; run: pip install -e '.[trl]'\n" and not answer.stdout


@pytest.mark.slow
def test_the_example_ends_at_an_alarm_that_it_names_or_after_all_its_steps(tmp_path):
    pytest.importorskip("trl")
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    answer = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    rows = list(csv.DictReader((tmp_path / "trl_grpo.csv").open()))
    steps, kl = [int(row["step"]) for row in rows], [float(row["kl"]) for row in rows]
    assert steps == list(range(0, 10 * len(rows), 10)) and kl[0] == 0.0 < min(kl[1:])
    readings = [line for line in answer.stdout.splitlines() if line.startswith("step ")]
    assert [line.split(": KL ")[0] for line in readings] == [f"step {step}" for step in steps]
    [end] = [line for line in answer.stdout.splitlines() if line.startswith(("stopped:", "ran to the end"))]
    assert end.startswith("stopped: ") or steps[-1] == 150
