"""Ctrl-C while the command line is still being imported ends in the one line, not in Python's own traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SITE = """
import os, signal, sys

class Ctrl:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPTED_AT"]:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
sys.meta_path.insert(0, Ctrl())
"""
"""Ends the process as Ctrl-C does, when a module begins to be imported."""


@pytest.mark.parametrize("module", ["mlproject.cli.early_checks", "mlproject.tracking.temporary"])
def test_ctrl_c_during_the_first_imports_is_one_line(module: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    ended = subprocess.run(
        [sys.executable, "-m", "mlproject", "history"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path, "INTERRUPTED_AT": module},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.stderr == "mlproject: interrupted. Run the same command to continue.\n"
    assert (ended.returncode, ended.stdout) == (130, "")
    assert {each.name for each in tmp_path.iterdir()} <= {"sitecustomize.py", "__pycache__"}
