"""A study on a Ray cluster of three machines, of which one dies without a word; then the command itself does.

Each machine is a process tree of its own, with its own host name and process ids, its own folder for what is temporary
and its own for states. All they share is a tracking server, which serves the artifacts, and a database for Optuna
(`MLPROJECT_TEST_POSTGRES` names one in PostgreSQL; SQLite otherwise).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

pytestmark = pytest.mark.slow

SMALL = ("--preset", "smoke", "--n_trials", "2", "--lease_seconds", "8")
PATIENCE = 400
MACHINE = ("unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child")
"""What makes a process tree with its own host name and process ids; killing it kills them all."""


RAY = {"RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "200"}
"""Whether or not this user has a token for Ray, and however busy this machine is."""


def can_make_machines() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*MACHINE, "true"], check=False).returncode == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def started(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=log.parent, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    """End a process and all that it started, without a word."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def machine(name: str, folder: Path, ray: str, uri: str) -> Iterator[subprocess.Popen]:
    """A machine of the cluster."""
    home = folder / name
    (home / "temporary").mkdir(parents=True)
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "TMPDIR": str(home / "temporary"),
        "MLPROJECT_STATES": str(home / "states"),
        "MLFLOW_TRACKING_URI": uri,
        **RAY,
    }
    script = f"hostname {name}; exec {Path(sys.executable).with_name('ray')} start {ray} --num-cpus 1 --block"
    with started([*MACHINE, "sh", "-c", script], home / "log", environment) as process:
        yield process


def runs(uri: str, query: str = "") -> list[Run]:
    client = MlflowClient(uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    return list(client.search_runs(experiments, query, max_results=5000))


def results(uri: str) -> dict[str, frozenset]:
    """Every value of every metric by the fingerprint of the step; a step with two runs is a mistake."""
    client = MlflowClient(uri)
    steps = [run for run in runs(uri) if "mlproject.fingerprint" in run.data.tags]
    steps = [run for run in steps if run.data.tags["mlproject.kind"] != "promotion"]  # each is one of its own
    assert max(Counter(run.data.tags["mlproject.fingerprint"] for run in steps).values()) == 1
    return {
        run.data.tags["mlproject.fingerprint"]: frozenset(
            (each.key, each.step, each.value)
            for name in run.data.metrics
            for each in client.get_metric_history(run.info.run_id, name)
        )
        for run in steps
    }


def wait_for(condition, what: str):
    deadline = time.monotonic() + PATIENCE
    while not (answer := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.3)
    return answer


def is_up(uri: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{uri}/health", timeout=2))
    except OSError:
        return False


@pytest.mark.skipif(not can_make_machines(), reason="needs the right to make namespaces")
def test_a_study_outlives_a_machine_of_its_cluster_and_its_own_command(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    storage = os.environ.get("MLPROJECT_TEST_POSTGRES") or f"sqlite:///{tmp_path}/optuna.db"
    port, ray_port = free_port(), free_port()
    uri, address = f"http://127.0.0.1:{port}", f"127.0.0.1:{ray_port}"
    server = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    server += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        str(tmp_path / "kept"),
    ]
    ray_folder = Path(f"/dev/shm/ray-{os.getpid()}")  # paths of Ray's sockets are limited to some 100 characters
    heads = (
        f"--head --port {ray_port} --temp-dir {ray_folder} --include-dashboard=false --object-store-memory 100000000"
    )
    joins = f"--address {address} --object-store-memory 100000000"
    driver = [sys.executable, "-m", "mlproject", "main", *SMALL, "--storage", storage]
    on_ray = [*driver, "--engine", "ray", "--engine_address", address]
    quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {**os.environ, **RAY, "MLFLOW_TRACKING_URI": uri}

    with ExitStack() as cluster:
        cluster.callback(shutil.rmtree, ray_folder, ignore_errors=True)
        cluster.enter_context(started(server, tmp_path / "server.log", quiet))
        wait_for(lambda: is_up(uri), "the tracking server")
        cluster.enter_context(machine("node-head", tmp_path, heads, uri))

        def wait_for_machine(name: str) -> None:
            wait_for(lambda: "runtime started" in (tmp_path / name / "log").read_text(), name)

        wait_for_machine("node-head")
        nodes = {}
        for name in ("node-b", "node-c"):  # at the same time they are in each other's way in Ray's folder
            nodes[name] = cluster.enter_context(machine(name, tmp_path, joins, uri))
            wait_for_machine(name)

        first = cluster.enter_context(started(on_ray, tmp_path / "first.log", environment))
        query = "attributes.status = 'RUNNING' and tags.`mlproject.kind` = 'policy-run'"

        def spare() -> list[Run]:
            assert first.poll() is None, (tmp_path / "first.log").read_text()[-3000:]
            return [run for run in runs(uri, query) if run.data.tags["mlproject.host"] in nodes]

        victim = wait_for(spare, "no policy run on a machine that can be spared")[0]
        kill(nodes[victim.data.tags["mlproject.host"]])
        died = time.monotonic()

        def heir() -> str | None:
            tags = MlflowClient(uri).get_run(victim.info.run_id).data.tags
            return tags["mlproject.host"] if tags["mlproject.host"] != victim.data.tags["mlproject.host"] else None

        wait_for(heir, "nobody took the run up")
        print(f"taken up after {time.monotonic() - died:.1f} s")
        kill(first)
        second = cluster.enter_context(started(on_ray, tmp_path / "second.log", environment))
        assert second.wait(PATIENCE) == 0, (tmp_path / "second.log").read_text()[-3000:]

        assert [run.info.run_name for run in runs(uri, "attributes.status = 'RUNNING'")] == []
        assert MlflowClient(uri).get_run(victim.info.run_id).info.status == "FINISHED"
        hosts = {run.data.tags.get("mlproject.host") for run in runs(uri)}
        assert {"node-head", "node-b", "node-c"} <= hosts
        disturbed = results(uri)
        alone = tmp_path / "alone"
        alone.mkdir()
        local = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{alone}/mlflow.db"}
        undisturbed = [*driver[:-1], f"sqlite:///{alone}/optuna.db"]
        assert subprocess.run(undisturbed, cwd=alone, env=local, check=False, capture_output=True).returncode == 0
    expected = results(local["MLFLOW_TRACKING_URI"])
    assert disturbed.keys() == expected.keys()
    assert [key for key in expected if disturbed[key] != expected[key]] == []
    assert not list(tmp_path.glob("*/states/*/running*"))
