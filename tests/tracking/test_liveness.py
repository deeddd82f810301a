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

from mlproject.tracking import liveness
from mlproject.tracking.liveness import Watch, WrittenLease, process_tags, reap


def run_with(tags, status="RUNNING"):
    return SimpleNamespace(info=SimpleNamespace(status=status, run_id="a run"), data=SimpleNamespace(tags=tags))


def is_abandoned(run):
    return Watch().is_abandoned(run)


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


@pytest.mark.parametrize("tag", ["mlproject.host", "mlproject.pid_space"])
def test_nothing_is_said_of_processes_that_cannot_be_seen_from_here(tag):
    """Not of another machine, nor of another container of this one, nor from before it was started anew."""
    assert not is_abandoned(run_with(shifted(-60) | {tag: "elsewhere"}))


class Clocks:
    """Both clocks of whoever looks at a lease."""

    def __init__(self, monkeypatch):
        self.now = 1e9
        monkeypatch.setattr(liveness, "boot_clock", lambda: self.now)
        monkeypatch.setattr(liveness.time, "time", lambda: self.now)

    def look(self, watch, run, seconds, every=1.0):
        """Whether a run is abandoned after so many seconds of looking."""
        for _ in range(round(seconds / every)):
            watch.is_abandoned(run)
            self.now += every
        return watch.is_abandoned(run)


@pytest.fixture
def clocks(monkeypatch):
    return Clocks(monkeypatch)


ELSEWHERE = {"mlproject.host": "elsewhere"}


def leased(clocks, seconds=90.0, number=0, tags=ELSEWHERE, age=0.0):
    lease = WrittenLease(number, clocks.now - age, seconds)
    return run_with(process_tags() | tags | lease.tag())


@pytest.mark.parametrize("clock_ahead", [-500.0, 0.0, 500.0])
@pytest.mark.parametrize("tags", [ELSEWHERE, {"mlproject.pid_space": "a container"}, {}])
def test_a_lease_that_nobody_renews_runs_out_by_the_clock_of_whoever_looks(clocks, clock_ahead, tags):
    """Also that of a living process of this machine, which may hang or be stopped."""
    watch, run = Watch(), leased(clocks, tags=tags, age=clock_ahead)
    assert not clocks.look(watch, run, 89)
    assert clocks.look(watch, run, 2)


def test_a_lease_that_is_renewed_holds(clocks):
    watch = Watch()
    assert not any(clocks.look(watch, leased(clocks, number=number), 80) for number in range(5))


def test_a_lease_that_another_process_has_taken_is_a_new_one(clocks):
    watch, run = Watch(), leased(clocks)
    assert not clocks.look(watch, run, 80)
    taken = run_with(run.data.tags | {"mlproject.pid": "4711"})
    assert not clocks.look(watch, taken, 80)
    assert clocks.look(watch, taken, 10)


def test_the_term_is_that_of_whoever_wrote_the_lease(clocks):
    assert clocks.look(Watch(), leased(clocks, seconds=10), 10)


def test_time_in_which_nobody_looked_does_not_count(clocks):
    """Whoever looks was paused, or the store away, when nobody could renew."""
    watch, run = Watch(), leased(clocks)
    assert not clocks.look(watch, run, 590, every=590)
    assert not clocks.look(watch, run, 80)
    assert clocks.look(watch, run, 10)


def test_a_lease_of_long_ago_has_run_out_at_the_first_look_unless_its_process_is_seen_alive(clocks):
    assert is_abandoned(leased(clocks, age=700))
    assert not is_abandoned(leased(clocks, age=680))
    assert not is_abandoned(leased(clocks, age=700, tags={}))


def test_a_run_without_a_lease_is_left_to_its_machine(clocks):
    """As an earlier release left it."""
    assert not clocks.look(Watch(), run_with(process_tags() | ELSEWHERE), 1000)


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


NONSENSE = [
    {"mlproject.pid": "abc"}, {"mlproject.pid": "-1"}, {"mlproject.pid": "9" * 5000}, {"mlproject.pid_started": "x"},
    *({"mlproject.lease": text} for text in ("[" * 100_000, "[]", "null", "", '{"number": 1e999}')),
    {"mlproject.lease": '{"number": 1, "renewed": 1, "seconds": NaN}'},
    {"mlproject.lease": '{"number": 1, "renewed": 1, "seconds": -5}'},
    {"mlproject.lease": '{"number": 1, "renewed": -Infinity, "seconds": 5}'},
]  # fmt: skip


@pytest.mark.parametrize("tags", NONSENSE, ids=lambda tags: str(tags)[:60])
def test_a_run_whose_tags_make_no_sense_is_left_alone(tags):
    assert not is_abandoned(run_with(process_tags() | tags))
    if "mlproject.lease" in tags:
        assert WrittenLease.of(run_with(tags)) is None
        assert not is_abandoned(run_with(process_tags() | ELSEWHERE | tags))
