"""What a search found is said of whole runs only, with the other options in the setting's name."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mlproject.config.schema import load_config
from mlproject.curve import Curve
from mlproject.search import recommended


@pytest.fixture
def curves(monkeypatch):
    d_S = np.linspace(0, 4, 12)
    noise_P = 0.05 * np.random.default_rng(0).standard_normal(64)
    by_run = {}
    for name, peak in (("low", 0.5), ("high", 1.0), ("like high", 1.001)):
        own_SP = 0.05 * np.random.default_rng(len(name)).standard_normal((12, 64)) * (d_S > 0)[:, None]
        gold_SP = (peak * d_S / 2 * (2 - d_S / 2))[:, None] + noise_P * (d_S > 0)[:, None] + own_SP
        by_run[name] = Curve(np.arange(12), d_S**2, gold_SP + d_S[:, None], gold_SP)
    monkeypatch.setattr(recommended, "curve_of", lambda client, run_id: by_run[run_id])
    return by_run


def test_the_best_of_near_equal_trials_is_named_with_its_ties_and_pruned_ones_are_left_out(curves):
    client = SimpleNamespace(get_run=lambda run_id: SimpleNamespace(data=SimpleNamespace(params={"rm_params": "3000"})))
    config = load_config(
        "laptop",
        {"search_kl_coefs": "0,0.01,0.1", "search_rm_sizes": "3k", "search_n_comparisons": "4000"},
    )
    row = {"state": "COMPLETE", "rm_size": "3k", "n_comparisons": 4000}
    rows = [
        row | {"kl_coef": 0.1, "run_id": "low"},
        row | {"kl_coef": 0.0, "run_id": "high"},
        row | {"kl_coef": 0.01, "run_id": "like high"},
        row | {"kl_coef": 0.02, "run_id": "cut short", "state": "PRUNED"},
    ]
    found = recommended.recommendation_of_trials(client, config, rows)
    assert found.choice is not None
    assert {each.setting.kl_coef for each in [found.choice, *found.ties]} == {0.0, 0.01}
    assert found.choice.setting.rm == "3k, n_comparisons=4000" and len(found.evaluated) == 3
