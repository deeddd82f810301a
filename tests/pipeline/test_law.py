"""The law step on reward models of one size: there is no trend over sizes, and no reason to fail."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.names import Artifact
from mlproject.pipeline import law


def curve(peak: float) -> Curve:
    kl_S, rng = np.linspace(0, 16, 12), np.random.default_rng(int(10 * peak))
    d_S = np.sqrt(kl_S)
    gold_SP = (d_S * (1 - d_S / (2 * peak)))[:, None] + 0.01 * rng.normal(size=(12, 16))
    return Curve(np.arange(12), kl_S, gold_SP + 0.1 * d_S[:, None], gold_SP)


@pytest.mark.parametrize("params", [[900, 900, 900], [900, 900, 5000]])
def test_reward_models_of_one_size_are_summed_up_and_all_count_in_the_forecasts_prior(params, tmp_path):
    about = []
    for index, count in enumerate(params):
        (tmp_path / str(index)).mkdir()
        curve(1.0 + 0.3 * index).save(tmp_path / str(index) / Artifact.CURVE)
        about.append({"method": "best-of-n", "rm_params": count, "rm_size": f"./rm-{index}", "seed": 0})
    run = SimpleNamespace(
        params={"bootstrap": 20, "curves": json.dumps(about)},
        folder=tmp_path,
        input=lambda role: tmp_path / role,
        log_metrics=lambda metrics: None,
    )
    law.fit_laws(run)
    laws = json.loads((tmp_path / Artifact.LAWS).read_text())
    assert len(laws["groups"]) == 3
    assert str(params[0]) in json.loads((tmp_path / Artifact.PRIORS).read_text())["best-of-n"]
