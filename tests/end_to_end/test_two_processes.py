"""A step that two processes share under torchrun: the curve of one process, and the end of all where one fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow import MlflowClient

from mlproject.tracking.run_data import curve_of

SMALL = {
    "preset": "smoke", "proxy": "1k", "rm_sizes": "1k", "search_rm_sizes": "1k", "rm_size": "1k", "sft_examples": 2560,
    "gold_comparisons": 256, "n_comparisons": 256, "pool_samples": 16, "bon_n_max": 4, "curve_prompts": 16,
    "ppo_updates": 4, "ppo_rollout_batch": 16, "kl_coef": 0.05, "ppo_lr": 1e-3, "workers": 1,
}  # fmt: skip
COMMAND = ["ppo", *(f"--{name}={value}" for name, value in SMALL.items())]

KL_TOLERANCE, SCORE_TOLERANCE = 1e-5, 1e-5
"""Nats, and standard deviations. Two processes add up a gradient in another order, which moves the last digits of
float32; over the four updates here KL moved by less than 1e-6 and no sampled token changed, so no score did."""

FAILING = """
import os, sys
import mlproject.optimization.on_policy.loop as loop
if os.environ["RANK"] == "1":
    def update_policy(*arguments):
        raise ArithmeticError("planted in the second process")
    loop.update_policy = update_policy
from mlproject.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def call(folder: Path, *command: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def together(folder: Path, *command: str) -> subprocess.CompletedProcess:
    return call(
        folder,
        "torch.distributed.run",
        "--nproc_per_node=2",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=localhost:0",
        *command,
    )


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> SimpleNamespace:
    """Two processes of which one fails; one process that resumes the run; two processes once more, from its inputs."""
    folder = tmp_path_factory.mktemp("torchrun")
    (folder / "failing.py").write_text(FAILING)
    failed = together(folder, str(folder / "failing.py"), *COMMAND)
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")

    def runs(kind: str = "policy-run") -> list:
        experiments = [each.experiment_id for each in client.search_experiments()]
        return client.search_runs(experiments, f"tags.`mlproject.kind` = '{kind}'")

    after_failure = runs()
    assert call(folder, "mlproject", *COMMAND).returncode == 0
    [alone] = runs()
    curve = curve_of(client, alone.info.run_id)
    client.delete_run(alone.info.run_id)
    done = together(folder, "-m", "mlproject", *COMMAND)
    [shared] = runs()
    return SimpleNamespace(
        folder=folder, client=client, runs=runs, failed=failed, after_failure=after_failure, alone=alone, curve=curve,
        done=done, shared=shared,
    )  # fmt: skip


def test_a_process_that_fails_ends_all_with_a_line_that_says_where_and_leaves_a_run_to_resume(story) -> None:
    assert story.failed.returncode != 0
    assert "ArithmeticError: planted in the second process" in story.failed.stderr
    assert re.search(r"mlproject \(process 1\): failed in '1k (KL [\d.]+ )?seed 0, ppo", story.failed.stderr)
    [interrupted] = story.after_failure
    assert interrupted.info.status in ("FAILED", "KILLED")
    assert story.alone.info.run_id == interrupted.info.run_id


def test_two_processes_give_the_curve_of_one(story) -> None:
    assert story.done.returncode == 0, story.done.stderr
    one, two = story.curve, curve_of(story.client, story.shared.info.run_id)
    assert one.kl_S[-1] > 0.05
    assert two.steps_S.tolist() == one.steps_S.tolist()
    np.testing.assert_allclose(two.kl_S, one.kl_S, atol=KL_TOLERANCE, rtol=0)
    np.testing.assert_allclose(two.proxy_S, one.proxy_S, atol=SCORE_TOLERANCE, rtol=0)
    np.testing.assert_allclose(two.gold_S, one.gold_S, atol=SCORE_TOLERANCE, rtol=0)
    assert story.shared.data.tags["mlproject.how.processes"] == "2"
    assert story.shared.data.tags["mlproject.fingerprint"] == story.alone.data.tags["mlproject.fingerprint"]
    for name in ("ppo/entropy", "ppo/approx_kl", "ppo/value_loss", "ppo/proxy_on_rollouts", "ppo/log_ratio"):
        ours, theirs = story.shared.data.metrics[name], story.alone.data.metrics[name]
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5), name


def test_the_first_process_alone_writes_to_the_store(story) -> None:
    made = [
        run for kind in ("initial-policy", "gold-rm", "comparisons", "proxy-rm", "pool") for run in story.runs(kind)
    ]
    assert len(made) == 5  # the failed start made them, with two processes; the others reused them
    shared = {run.data.tags["mlproject.kind"] for run in made if run.data.tags.get("mlproject.how.processes") == "2"}
    assert shared == {"initial-policy", "gold-rm", "proxy-rm"}
    assert len(story.runs("study")) == 3  # one invocation for each of the three commands
    assert story.done.stdout.count("Measured peak: gold ") == 1
