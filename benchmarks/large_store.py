"""What commands cost that only read, on a store with many policy runs.

    python -m mlproject main --preset smoke                            # once, in an empty folder: a store to copy
    python benchmarks/large_store.py FOLDER --runs 500 [--repeats 3]   # FOLDER: that folder

Copies the store and adds finished policy runs to the copy until it has as many as asked: each is a copy of one of the
study's, with its metrics, params, tags and artifacts, under an id and a fingerprint of its own, against one of many
copied proxy RMs (`--runs_per_proxy` policy runs each), and with lower gold, so that the champion remains what it is.
Then it prints the CPU seconds of each command in a process of its own, the smallest of the repeats, after one run that
is not counted, and what they are beyond MLflow's own start (`import mlflow`, and the store opened).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlproject.curve import Curve
from mlproject.names import Artifact, Kind, Metric, Role, Tag

START = "from mlflow import MlflowClient; MlflowClient().search_experiments()"
COMMANDS = {
    "history": ("history",),
    "report": ("report",),
    "promote --dry_run true": ("promote", "--preset", "smoke", "--dry_run", "true"),
    "main, nothing to do": ("main", "--preset", "smoke"),
}
LOWER = 0.5
"""Gold of the copies, as a share of that of the run that they were copied from."""

_PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Columns that hold absolute paths."""


def copy_store(source: Path, target: Path) -> None:
    """Copy database, search and artifacts; the latter as links."""
    shutil.copytree(source / "mlruns", target / "mlruns", copy_function=os.link)
    for name in ("mlflow.db", "optuna.db"):
        if (source / name).exists():
            with sqlite3.connect(source / name) as old, sqlite3.connect(target / name) as new:
                old.backup(new)
    with sqlite3.connect(target / "mlflow.db") as database:
        for table, columns in _PLACES.items():
            for column in columns:
                database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(source), str(target)))


class Growth:
    """Adds copies of runs to a store.

    Args:
        database: an open connection to the store's database.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def ids(self, kind: str) -> list[str]:
        """Ids of the finished runs of a kind, oldest first."""
        query = """SELECT runs.run_uuid FROM runs JOIN tags USING (run_uuid)
            WHERE key = ? AND value = ? AND status = 'FINISHED' AND lifecycle_stage = 'active' ORDER BY start_time"""
        return [row[0] for row in self._database.execute(query, (Tag.KIND, kind))]

    def tags(self, run_id: str) -> dict[str, str]:
        """Tags of a run."""
        return dict(self._database.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,)))

    def copy(self, run_id: str, **tags: str) -> str:
        """Add a copy of a run with a fingerprint of its own and other values of some tags; returns its id."""
        new, changed = uuid.uuid4().hex, {"run_uuid": "?", "artifact_uri": "replace(artifact_uri, run_uuid, ?)"}
        for table in ("runs", "params", "tags", "metrics", "latest_metrics"):
            columns = [row[1] for row in self._database.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(changed.get(column, column) for column in columns)
            query = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} WHERE run_uuid = ?"
            self._database.execute(query, (*[new] * len(changed.keys() & set(columns)), run_id))
        for key, value in {Tag.FINGERPRINT: uuid.uuid4().hex, **tags}.items():
            self._database.execute("UPDATE tags SET value = ? WHERE run_uuid = ? AND key = ?", (value, new, key))
        shutil.copytree(self.folder(run_id), self.folder(new), copy_function=os.link)
        return new

    def folder(self, run_id: str) -> Path:
        """Folder with a run's artifacts."""
        [(uri,)] = self._database.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run_id,))
        return Path(uri.removeprefix("file://"))

    def lower(self, run_id: str) -> None:
        """Lower the gold scores of a policy run, in its curve and in its metrics."""
        path = self.folder(run_id) / Artifact.CURVE
        curve = Curve.load(path)
        path.unlink()  # a link, whose file belongs to the original
        replace(curve, gold_SP=LOWER * curve.gold_SP).save(path)
        for table in ("metrics", "latest_metrics"):
            query = f"UPDATE {table} SET value = value * ? WHERE run_uuid = ? AND key = ?"
            self._database.execute(query, (LOWER, run_id, Metric.PEAK_GOLD))


def grow(folder: Path, runs: int, runs_per_proxy: int) -> int:
    """Add policy runs to a store until it has as many; returns the number of proxy RMs in it."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        growth = Growth(database)
        originals = [run for run in growth.ids(Kind.POLICY_RUN) if growth.tags(run).get(Tag.COMPLETE) != "false"]
        proxies = {growth.tags(run)[Tag.PROXY_RUN_ID] for run in originals}
        against: dict[str, str] = {}
        for i in range(runs - len(growth.ids(Kind.POLICY_RUN))):
            if i % (runs_per_proxy * len(proxies)) == 0:
                against = {}  # from here on, against further copies
            original = originals[i % len(originals)]
            tags = growth.tags(original)
            proxy = tags[Tag.PROXY_RUN_ID]
            if proxy not in against:
                against[proxy] = growth.copy(proxy)
            inputs = json.loads(tags[Tag.INPUTS]) | {Role.PROXY_RM: against[proxy]}
            growth.lower(growth.copy(original, **{Tag.PROXY_RUN_ID: against[proxy], Tag.INPUTS: json.dumps(inputs)}))
        return len(growth.ids(Kind.PROXY_RM))


def cpu_seconds(folder: Path, *words: str) -> float:
    """CPU seconds of a command and of the processes that it started."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 3):  # 3: a promotion is refused
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """Grow a copy of the store, then time the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of a store with a finished smoke study")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--runs_per_proxy", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        copy_store(options.folder.resolve(), folder)
        proxies = grow(folder, options.runs, options.runs_per_proxy)
        print(f"{options.runs} policy runs, {proxies} proxy RMs")
        commands = {"import mlflow, store opened": ("-c", START)}
        commands |= {name: ("-m", "mlproject", *words) for name, words in COMMANDS.items()}
        start = 0.0
        for name, words in commands.items():
            seconds = min([cpu_seconds(folder, *words) for _ in range(options.repeats + 1)][1:])
            start = start or seconds
            print(f"{name:<28} {seconds:6.1f} CPU s  {seconds - start:6.1f} beyond MLflow's start", flush=True)


if __name__ == "__main__":
    main()
