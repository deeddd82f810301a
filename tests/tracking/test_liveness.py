"""A run is abandoned when, and only when, the process of this host that executed it has ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from mlproject.tracking.liveness import is_abandoned, process_tags, reap


def run_with(tags, status="RUNNING"):
    return SimpleNamespace(info=SimpleNamespace(status=status), data=SimpleNamespace(tags=tags))


def shifted(seconds):
    tags = process_tags()
    return tags | {"mlproject.pid_started": str(float(tags["mlproject.pid_started"]) + seconds)}


def test_a_process_is_named_by_host_process_id_and_start_time():
    tags = process_tags()
    assert tags["mlproject.host"] == socket.gethostname()
    assert tags["mlproject.pid"] == str(os.getpid())
    assert time.time() - 86400 < float(tags["mlproject.pid_started"]) <= time.time()


def test_a_run_of_another_process_is_abandoned_once_that_process_has_ended():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(child.pid).create_time()
    run = run_with(process_tags() | {"mlproject.pid": str(child.pid), "mlproject.pid_started": f"{started:.2f}"})
    assert not is_abandoned(run)
    child.communicate(b"\n")
    assert is_abandoned(run)


@pytest.mark.parametrize(("seconds", "abandoned"), [(0, False), (4, False), (-4, False), (60, True), (-60, True)])
def test_a_process_id_that_was_given_to_another_process_does_not_keep_a_run_alive(seconds, abandoned):
    assert is_abandoned(run_with(shifted(seconds))) is abandoned


def test_nothing_is_said_of_processes_of_other_hosts():
    assert not is_abandoned(run_with(shifted(-60) | {"mlproject.host": "elsewhere"}))


def test_a_run_that_this_project_did_not_make_is_never_abandoned():
    assert not is_abandoned(run_with({}))


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED", "SCHEDULED"])
def test_a_run_that_is_not_running_is_not_abandoned(status):
    assert not is_abandoned(run_with(shifted(-60), status))


def test_the_reaper_closes_runs_of_dead_processes_and_no_others(store, leave_run):
    mine = leave_run("mine", "RUNNING", tags=process_tags())
    dead = leave_run("dead", "RUNNING", tags=shifted(-60))
    far = leave_run("far", "RUNNING", tags=shifted(-60) | {"mlproject.host": "elsewhere"})
    foreign = leave_run("foreign", "RUNNING")
    client = store.client()
    in_default = client.create_run("0", tags=shifted(-60)).info.run_id  # as `mlflow run` leaves the run of a command
    assert set(reap(client, store)) == {dead, in_default}
    statuses = [client.get_run(run_id).info.status for run_id in (mine, dead, far, foreign, in_default)]
    assert statuses == ["RUNNING", "KILLED", "RUNNING", "RUNNING", "KILLED"]
    assert reap(client, store) == []
