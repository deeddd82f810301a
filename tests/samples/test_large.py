"""A table as an engineer has it, with odd names: compared, put to the gates and reported in a minute, and right."""

import math
import resource
import time

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from tests.support.commands import run_here

from mlproject.tracking.run_data import curve_of

PROMPTS, RESPONSES = 1000, 64
GOLD, RMS = "Judge (GPT) overall", ("Skywork-Reward-V2-8B", "ArmoRM/helpfulness", "tiny rm, v1")


def weights(n: int) -> np.ndarray:
    """Probability that the response of each rank, from the lowest, is the best of n drawn without replacement."""
    return np.array([math.comb(rank, n - 1) for rank in range(RESPONSES)]) / math.comb(RESPONSES, n)


@pytest.mark.slow
def test_a_thousand_prompts_are_compared_promoted_and_reported_in_a_minute_of_cpu(tmp_path):
    rng = np.random.default_rng(1)
    gold = rng.normal(size=(PROMPTS, RESPONSES)) + rng.normal(size=(PROMPTS, 1))
    scores = {name: (1 + i) * gold + (i + 2) * rng.normal(size=gold.shape) for i, name in enumerate(RMS)}
    table = pd.DataFrame(
        {
            "user_turn": np.repeat([f"Request {i}: what is wrong?" for i in range(PROMPTS)], RESPONSES),
            "policy_reply": [f"Restart it, version {i}." for i in range(gold.size)],
            GOLD: 7 + 2 * gold.ravel(),
            **{name: values.ravel() for name, values in scores.items()},
        }
    )
    table.sample(frac=1, random_state=0).to_parquet(tmp_path / "samples.parquet", index=False)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.process_time()
    answers = [
        run_here(tmp_path, "compare", "--samples", "samples.parquet"),
        run_here(tmp_path, "promote", "--samples", "samples.parquet", "--dry_run"),
        run_here(tmp_path, "report"),
    ]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert [answer.returncode for answer in answers] == [0, 0, 0], [answer.stderr for answer in answers]
    assert time.process_time() - start + after.ru_utime - before.ru_utime < 60
    assert "not answered: margin" in answers[1].stdout
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    [experiment] = client.search_experiments(filter_string="name = 'overoptimization'")
    runs = {run.data.params["rm_size"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == set(RMS)
    for name, values in scores.items():
        curve = curve_of(client, runs[name])
        by_rank = np.take_along_axis(gold, values.argsort(axis=1), axis=1)
        for index in (0, len(curve) // 2, len(curve) - 1):
            expected = (by_rank @ weights(int(curve.steps_S[index])) - gold.mean(axis=1)) / gold.std()
            assert np.sort(curve.gold_SP[index]) == pytest.approx(np.sort(expected), abs=1e-9)
