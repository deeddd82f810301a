"""Concurrent promotions, and kills between any two writes, with real processes: the champion has always passed.

PostgreSQL in place of SQLite: MLPROJECT_TEST_POSTGRES_MLFLOW=postgresql+psycopg2://USER:PASSWORD@HOST/EMPTY_DATABASE.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from itertools import pairwise
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.registry import planted

from mlproject.names import Alias, Status, Tag, VersionTag
from mlproject.registry.history import history
from mlproject.registry.lock import promotion_runs
from mlproject.registry.versions import verify
from mlproject.tracking.store import Store

NAME = "reward-model"
HEIGHTS = {("1k", 0): 0.8, ("3k", 0): 1.2, ("13k", 0): 1.4}
ROUNDS, KILLS = 50, 50
POSTGRES = os.environ.get("MLPROJECT_TEST_POSTGRES_MLFLOW", "")
WRITES = (
    "create_run", "log_batch", "set_tag", "log_artifacts", "log_text", "set_terminated", "delete_run",
    "create_registered_model", "create_model_version", "update_model_version", "set_model_version_tag",
    "set_registered_model_alias", "delete_registered_model_alias",
)  # fmt: skip
KILLED = 9


@pytest.fixture(scope="module")
def processes():
    """Context for processes forked from a server that has imported everything once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlproject.cli.commands", "tests.registry.planted"])
    return context


def promote_in(folder: Path, uri: str, killed_before: int, calls, arguments: tuple[str, ...]) -> None:
    """Promotes in this process, which exits right before the given write (0: never)."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    count = 0

    def counted(name, method):
        def call(self, *args, **kwargs):
            nonlocal count
            count += 1
            if count == killed_before:
                os._exit(KILLED)
            if calls is not None:
                calls.put((count, name, args))
            return method(self, *args, **kwargs)

        return call

    for name in WRITES:
        setattr(MlflowClient, name, counted(name, getattr(MlflowClient, name)))
    code = planted.promoting(folder, *arguments)
    if calls is not None:
        calls.close()
        calls.join_thread()
    os._exit(code)


def experiment(folder: Path) -> str:
    """Name of the experiment of one test."""
    return f"{folder.parent.name}-{folder.name}"


def start(processes, folder, *arguments, killed_before=0, calls=None):
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    arguments = (*arguments, "--experiment", experiment(folder))
    process = processes.Process(target=promote_in, args=(folder, uri, killed_before, calls, arguments))
    process.start()
    return process


def clear_registry(store: Store) -> None:
    """Deletes the registered model and all promotion runs."""
    client = store.client()
    for run in promotion_runs(client, NAME):
        client.delete_run(run.info.run_id)
    if client.search_registered_models(f"name = '{NAME}'"):
        client.delete_registered_model(NAME)


def check_alias(store: Store, rm_size: str | None = None) -> None:
    """The alias points to a complete version that passed, according to the promotion run that it names."""
    client = store.client()
    version = client.get_model_version_by_alias(NAME, Alias.CHAMPION)
    verify(client, version)
    assert version.tags[VersionTag.STATUS] == Status.PASSED
    assert client.get_run(version.tags[VersionTag.PROMOTION_RUN_ID]).data.tags["promotion.verdict"] == "passed"
    assert rm_size in (None, version.tags["rm_size"])


def check_records(store: Store) -> None:
    """Every promotion run has ended and has an outcome; the last move in the history is the alias."""
    client = store.client()
    for run in promotion_runs(client, NAME):
        assert run.info.status in ("FINISHED", "KILLED", "FAILED")
        assert Tag.PROMOTION_OUTCOME in run.data.tags or Tag.PROMOTION_TURN not in run.data.tags
    moves = history(client, NAME)
    assert moves[-1].to_version == str(client.get_model_version_by_alias(NAME, Alias.CHAMPION).version)
    for before, after in pairwise(moves):
        assert after.from_version == before.to_version
    versions = client.search_model_versions(f"name = '{NAME}'")
    passed = {str(version.version) for version in versions if version.tags.get(VersionTag.STATUS) == Status.PASSED}
    assert passed <= {move.to_version for move in moves}, "every version that passed has been champion"


def race(processes, plant, tmp_path, rounds: int) -> None:
    store = plant(HEIGHTS, uri=POSTGRES, experiment=experiment(tmp_path))
    for _ in range(rounds):
        clear_registry(store)
        first = start(processes, tmp_path, "--proxy", "1k")
        first.join()
        both = [start(processes, tmp_path, "--proxy", size) for size in ("3k", "13k")]
        for process in both:
            process.join()
        codes = [process.exitcode for process in both]
        assert codes in ([0, 0], [3, 0]), "3k is refused if 13k becomes champion first; 13k is never refused"
        check_alias(store, "13k")
        check_records(store)


def test_of_two_concurrent_promotions_the_better_candidate_wins(processes, plant, tmp_path):
    race(processes, plant, tmp_path, rounds=2)


@pytest.mark.slow
def test_fifty_races_break_nothing(processes, plant, tmp_path):
    race(processes, plant, tmp_path, ROUNDS)


def kill_at(processes, store, tmp_path, write: int) -> None:
    clear_registry(store)
    start(processes, tmp_path, "--proxy", "1k").join()
    victim = start(processes, tmp_path, "--proxy", "3k", killed_before=write)
    victim.join()
    assert victim.exitcode == KILLED
    check_alias(store)
    again = start(processes, tmp_path, "--proxy", "3k")
    again.join()
    assert again.exitcode == 0
    check_alias(store, "3k")
    check_records(store)


def writes_of_a_promotion(processes, store, tmp_path) -> list[tuple[int, str, tuple]]:
    clear_registry(store)
    start(processes, tmp_path, "--proxy", "1k").join()
    calls = processes.Queue()
    process = start(processes, tmp_path, "--proxy", "3k", calls=calls)
    writes = []
    while process.is_alive() or not calls.empty():
        while not calls.empty():
            writes.append(calls.get())
        time.sleep(0.05)
    return writes


@pytest.mark.slow
def test_a_kill_around_the_writes_of_an_alias_leaves_a_champion_that_passed(processes, plant, tmp_path):
    store = plant(HEIGHTS, uri=POSTGRES, experiment=experiment(tmp_path))
    writes = writes_of_a_promotion(processes, store, tmp_path)
    critical = [number for number, name, _ in writes if name.endswith("_alias")]
    assert len(critical) == 3  # challenger, champion, no challenger any more
    for write in sorted({*critical, *(number + 1 for number in critical)}):
        kill_at(processes, store, tmp_path, write)


@pytest.mark.slow
def test_a_kill_before_any_write_leaves_a_champion_that_passed(processes, plant, tmp_path):
    store = plant(HEIGHTS, uri=POSTGRES, experiment=experiment(tmp_path))
    for number, _, _ in writes_of_a_promotion(processes, store, tmp_path):
        kill_at(processes, store, tmp_path, number)


@pytest.mark.slow
def test_fifty_kills_at_random_moments_break_nothing(processes, plant, tmp_path):
    store = plant(HEIGHTS, uri=POSTGRES, experiment=experiment(tmp_path))
    rng, sizes = random.Random(0), ("1k", "3k", "13k")
    clear_registry(store)
    start(processes, tmp_path, "--proxy", "1k").join()
    kills = 0
    while kills < KILLS:
        if store.client().get_model_version_by_alias(NAME, Alias.CHAMPION).tags["rm_size"] == "13k":
            clear_registry(store)
            start(processes, tmp_path, "--proxy", "1k").join()
        process = start(processes, tmp_path, "--proxy", rng.choice(sizes))
        process.join(rng.uniform(0.5, 4))
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
        check_alias(store)
    start(processes, tmp_path, "--proxy", "13k").join()
    check_alias(store, "13k")
    check_records(store)
