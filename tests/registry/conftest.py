"""Evidence with known metrics, and stores with planted curves."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
from tests.registry import planted

from mlproject.curve import Curve
from mlproject.registry.metrics import Evidence

D = np.linspace(0, 2, 11)
PROMPTS = 100


@pytest.fixture
def evidence():
    """Builds evidence on a curve that follows the law d (2 h / p - h / p^2 d), whose peak is h at d = p = 1."""

    def make(height=1.0, spread=0.2, **changes):
        rng = np.random.default_rng(0)
        noise_P = rng.normal(size=PROMPTS)
        noise_P -= noise_P.mean()
        gold_SP = (height * (2 * D - D**2))[:, None] + spread * (D[:, None] > 0) * noise_P
        proxy_SP = (height * 2 * D)[:, None] + 0 * gold_SP
        base = Evidence(
            trained={"rm/val_accuracy": 0.8, "rm/val_loss": 0.4, "rm/ece": 0.02},
            held_out=1600,
            method="best-of-n",
            curve=Curve(np.arange(1, 12), D**2, proxy_SP, gold_SP),
            signs_start={"length": 20.0, "repetition": 0.1},
            signs_peak={"length": 30.0, "repetition": 0.25},
        )
        return dataclasses.replace(base, **changes)

    return make


@pytest.fixture
def plant(tmp_path, monkeypatch, empty_database):
    """Plants a store in an empty folder; afterwards working directory and environment are restored."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    yield lambda heights, **more: planted.plant(tmp_path, heights, **more)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
