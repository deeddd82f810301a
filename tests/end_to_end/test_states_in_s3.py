"""A step that dies on one machine goes on on another from the state in S3, where its artifacts lie.

MLPROJECT_TEST_S3=http://HOST:PORT names what speaks S3, such as moto's server; boto3 must be installed, and
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY be set.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.killed_steps import copy_store, execute_until_done, remains

from mlproject.config.schema import load_config
from mlproject.execution.executors import LocalExecutor
from mlproject.execution.progress import Progress
from mlproject.execution.scheduler import Scheduler
from mlproject.names import Kind
from mlproject.pipeline.step import Step, upstream
from mlproject.pipeline.study import plan_study
from mlproject.tracking.states import states_folder
from mlproject.tracking.store import Store, open_store

ENDPOINT = os.environ.get("MLPROJECT_TEST_S3", "")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ENDPOINT, reason="MLPROJECT_TEST_S3 is not set")]

OPTIONS = {
    "sft_examples": 1600, "sft_batch_size": 16, "gold_comparisons": 300, "gold_batch_size": 16, "n_comparisons": 300,
    "rm_batch_size": 8, "rm_sizes": "1k", "curve_prompts": 16, "ppo_updates": 30, "ppo_batch_size": 32,
    "bootstrap": 20, "methods": "ppo",
}  # fmt: skip


@pytest.fixture(scope="module")
def step() -> Step:
    steps = upstream(plan_study(load_config("smoke", OPTIONS)).steps)
    return next(step for step in steps if step.kind == Kind.POLICY_RUN)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, step: Step) -> tuple[Path, Store]:
    """A store on this machine in which the step was executed without a disturbance, and without a state."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        store = open_store("overoptimization")
        scheduler = Scheduler(store, "", LocalExecutor(2), Progress(), 0)
        scheduler.run([step])
        scheduler.close()
    return folder, store


def in_s3(source: Path, target: Path, step: Step) -> Store:
    """A copy of a store whose further runs have their artifacts in a bucket of their own."""
    import boto3  # no dependency of this project

    bucket = f"runs-{uuid.uuid4()}"
    boto3.client("s3", endpoint_url=ENDPOINT, region_name="us-east-1").create_bucket(Bucket=bucket)
    store = copy_store(source, target, step)
    with closing(sqlite3.connect(target / "mlflow.db")) as database, database:
        database.execute(f"UPDATE experiments SET artifact_location = 's3://{bucket}/' || experiment_id")
    return store


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_step_goes_on_on_another_machine_from_its_state_in_s3(
    undisturbed: tuple[Path, Store], step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: signal.Signals
) -> None:
    """SIGTERM uploads the state; before SIGKILL it was uploaded because it was time."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", ENDPOINT)
    source, original = undisturbed
    store = in_s3(source, tmp_path / "store", step)

    def machine(number: int) -> Mapping[str, str]:
        return {
            "MLPROJECT_STATES": str(tmp_path / f"machine {number}"),
            "MLFLOW_S3_ENDPOINT_URL": ENDPOINT,
            **{name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
        }

    is_term = ending == signal.SIGTERM
    seconds, lives = (3600, [0.0, 0.0]) if is_term else (0.02, [5.0, 5.0])
    killed, last = execute_until_done(store, step, seconds, lives, ending, machine, uploads_often=not is_term)
    assert len(killed) == 2
    firsts = [life.progress[0][1] for life in killed[1:]] + [last[0][1]]
    print(f"{ending.name}: the machines went on with shares of {firsts}")
    assert firsts[0] > 1 / 30 and firsts[1] > firsts[0], "each went on where the one before was"
    left = remains(store, step)
    assert left.differences(remains(original, step)) == []
    assert len(left.run_ids) == 1 and left.status == "FINISHED"
    assert not [path for path in left.artifacts if "states" in path]
    assert not (tmp_path / "machine 2").exists() and not states_folder(store).exists()
