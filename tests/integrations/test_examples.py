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
def test_the_example_ends_past_the_peak_but_before_what_was_gained_is_lost(tmp_path):
    pytest.importorskip("trl")
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    answer = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    assert "stopped: " in answer.stdout
    rows = list(csv.DictReader((tmp_path / "trl_grpo.csv").open()))
    assert 0.0 < float(rows[-1]["gold"]) < max(float(row["gold"]) for row in rows)
    assert float(rows[0]["kl"]) == 0.0 < 1.0 < float(rows[-1]["kl"])
