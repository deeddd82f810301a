"""Synthetic results with known numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from mlproject.curve import Curve
from mlproject.experiments.results import Cell, Result
from mlproject.plotting import theme

PARAMS = {"1k": 896, "3k": 3328, "25k": 25504, "100k": 100160}
STEPS, PROMPTS = 6, 10


def make_curve(height: float = 1.0, steps: int = STEPS, human: bool = True) -> Curve:
    """Gold rises and falls, the proxy rises four times as fast, human judgement is half of gold."""
    d_S = np.linspace(0, 2, steps)
    noise_P = np.linspace(-0.3, 0.3, PROMPTS)
    gold_SP = height * (d_S * (2 - d_S))[:, None] + noise_P
    proxy_SP = 4 * height * d_S[:, None] + noise_P
    return Curve(np.arange(steps), d_S**2, proxy_SP, gold_SP, gold_SP / 2 if human else None)


def make_cell(height: float = 1.0, curve: Curve | None = None, **settings: Any) -> Cell:
    """A run whose peak gold is `height`."""
    settings_ = {"method": "ppo", "rm_size": "1k", "seed": 0} | settings
    settings_["rm_params"] = PARAMS[settings_["rm_size"]]
    metrics = {"peak/gold": height, "rm/val_loss": 0.7 - 0.1 * height}
    return Cell(settings_, metrics, curve or make_curve(height))


@pytest.fixture(scope="session")
def plain_figure() -> Callable[[Result, Mapping[str, Any]], Figure]:
    """Replaces `draw` where the picture does not matter: drawing takes most of the time of a page."""
    return lambda result, spec: theme.new_figure(1, 1)


@pytest.fixture
def cell() -> Callable[..., Cell]:
    return make_cell


@pytest.fixture
def curve() -> Callable[..., Curve]:
    return make_curve


@pytest.fixture(scope="session")
def result() -> Result:
    """Two methods, three sizes out of order, three seeds; heights differ everywhere."""
    cells = [
        make_cell(
            1 + 0.5 * i + (0, 0.1, 0.25)[seed] + (0.05 if method == "ppo" else 0),
            method=method,
            rm_size=size,
            seed=seed,
        )
        for method in ("ppo", "best-of-n")
        for i, size in enumerate(("100k", "3k", "1k"))
        for seed in (0, 1, 2)
    ]
    return Result("mine", {"preset": "smoke"}, cells)
