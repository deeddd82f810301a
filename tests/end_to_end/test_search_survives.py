"""A search that is killed again and again, and one that many workers share: every trial counts once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow

KILLS = 20
POSTGRES = os.environ.get("MLPROJECT_TEST_POSTGRES", "")
"""URL of an empty PostgreSQL database for Optuna; without it the workers share a SQLite file."""

SMALL = (
    "--preset", "smoke", "--ppo_updates", "6", "--search_kl_coefs", "0,0.1,0.5,1", "--search_rm_sizes", "1k,3k,13k",
)  # fmt: skip


def start(store: Path, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{store}/mlflow.db"}
    return subprocess.Popen(
        [sys.executable, "-m", "mlproject", *arguments, *SMALL],
        cwd=store,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=(store / "stderr.log").open("a"),
    )


def said(store: Path) -> str:
    return (store / "stderr.log").read_text()[-3000:]


def trials(storage: str) -> list[optuna.trial.FrozenTrial]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    [study] = optuna.study.get_all_study_names(storage)
    return optuna.load_study(study_name=study, storage=storage).trials


def outline(found: list[optuna.trial.FrozenTrial]) -> list[tuple]:
    """What must not depend on kills: number, parameters, state, value."""
    return [(t.number, t.params, t.state.name, t.value) for t in found]


def runs(client: MlflowClient, query: str = "") -> list:
    experiments = [e.experiment_id for e in client.search_experiments()]
    return client.search_runs(experiments, query, max_results=1000)


def test_a_search_killed_twenty_times_ends_like_one_that_was_left_alone(tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    for store in (alone, killed):
        store.mkdir()
    arguments = ("search", "--n_trials", "10")
    assert start(alone, *arguments).wait(600) == 0, said(alone)
    rng, kills, answer = random.Random(0), 0, None
    while answer is None:
        process = start(killed, *arguments)
        try:
            answer = process.wait(rng.uniform(4, 12) if kills < KILLS else 600)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL) if rng.random() < 0.5 else process.kill()
            process.wait()
            kills += 1
    assert answer == 0, said(killed)
    if kills < KILLS:  # it was finished before it had been killed so often: then nothing may happen any more
        assert start(killed, *arguments).wait(600) == 0
    expected, found = (trials(f"sqlite:///{store}/optuna.db") for store in (alone, killed))
    assert outline(found) == outline(expected)
    client = MlflowClient(f"sqlite:///{killed}/mlflow.db")
    assert not runs(client, "attributes.status = 'RUNNING'")
    for trial in found:
        own = f"tags.`optuna.trial_number` = '{trial.number}' and attributes.status = 'FINISHED'"
        assert len(runs(client, own)) == (0 if trial.user_attrs["reused"] else 1)
        assert client.get_run(trial.user_attrs["run_id"]).info.status == "FINISHED"
    print(f"{kills} kills")


def test_four_workers_one_of_them_killed_finish_every_trial_once(tmp_path):
    storage = POSTGRES or f"sqlite:///{tmp_path}/optuna.db"
    arguments = ("worker", "--n_trials", "12", "--workers", "1", "--storage", storage)
    workers = [start(tmp_path, *arguments)]
    while not (tmp_path / "mlflow.db").exists() or not (tmp_path / "mlruns").exists():  # it makes the databases
        time.sleep(0.5)
    time.sleep(8)
    workers += [start(tmp_path, *arguments) for _ in range(3)]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    for _ in range(600):
        if runs(client, "tags.`optuna.trial_number` != '' and attributes.status = 'RUNNING'"):
            break
        time.sleep(0.2)
    os.killpg(workers[1].pid, signal.SIGKILL)
    answers = [worker.wait(600) for worker in workers]
    assert [answer for i, answer in enumerate(answers) if i != 1] == [0, 0, 0], said(tmp_path)
    found = trials(storage)
    finished = [t for t in found if t.state.name in ("COMPLETE", "PRUNED")]
    assert sorted(t.user_attrs["queue/turn"] for t in finished) == list(range(12)), "none lost, none twice"
    assert {t.state.name for t in found} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert not runs(client, "attributes.status = 'RUNNING'")
    proxies = runs(client, "tags.`mlproject.kind` = 'proxy-rm' and attributes.status = 'FINISHED'")
    assert len({run.data.tags["mlproject.fingerprint"] for run in proxies}) == len(proxies), (
        "each proxy was trained once"
    )
    searches = runs(client, "tags.`mlproject.kind` = 'search'")
    assert [run.info.status for run in searches] == ["FINISHED"]
