"""The lease of a run is renewed, and whoever has lost it writes nothing more."""

from __future__ import annotations

import json
import threading
import time

import pytest

from mlproject.names import Tag
from mlproject.pipeline.step import Step
from mlproject.tracking import lease
from mlproject.tracking.lease import Lease, LeaseLostError
from mlproject.tracking.liveness import WrittenLease, process_tags
from mlproject.tracking.runs import StepRun
from mlproject.tracking.states import states_folder


@pytest.fixture
def late(monkeypatch):
    """A clock that can be moved on, as it moves on for a process that is stopped."""

    class Late:
        seconds = 0.0

    started = time.monotonic()
    monkeypatch.setattr(lease, "boot_clock", lambda: started + Late.seconds)
    return Late


def open_run(store, name, seconds=90.0):
    step = Step(name, "law", 1, {"name": name})
    return StepRun(store, step, {}, made_by="", checkpoint_seconds=60, lease_seconds=seconds)


def take_up(store, run):
    """As another process does: it closes the run, and opens it again as its own."""
    store.client().set_terminated(run.run_id, "KILLED")
    for name, value in (process_tags() | {Tag.HOST: "elsewhere"} | WrittenLease.new(90).tag()).items():
        store.client().set_tag(run.run_id, name, value)
    store.client().update_run(run.run_id, status="RUNNING")


def content(store, run):
    left = store.client().get_run(run.run_id)
    artifacts = store.client().list_artifacts(run.run_id)
    return left.info.status, left.data.tags, left.data.metrics, artifacts, states_folder(store).exists()


def test_a_lease_is_renewed_until_its_run_ends(store):
    run = open_run(store, "renewed", seconds=1.0)
    deadline = time.monotonic() + 20
    while (number := json.loads(store.client().get_run(run.run_id).data.tags[Tag.LEASE])["number"]) < 2:
        assert time.monotonic() < deadline
    run.close("FINISHED")
    ended = store.client().get_run(run.run_id).data.tags[Tag.LEASE]
    time.sleep(0.5)
    assert store.client().get_run(run.run_id).data.tags[Tag.LEASE] == ended
    assert number >= 2


@pytest.mark.parametrize(
    "write",
    [
        lambda run: run.log_params({"a": 1}),
        lambda run: run.set_tags({"a": "1"}),
        lambda run: run.publish(),
        lambda run: run.progress(0.5),
        lambda run: run.close("FINISHED"),
        lambda run: run.resumption.save(),
    ],
    ids=["params", "tags", "artifacts", "progress", "end", "state"],
)
def test_a_process_that_was_paused_while_another_took_its_run_writes_nothing(store, late, write, request):
    run = open_run(store, request.node.callspec.id)
    (run.folder / "artifact").write_text("mine")
    run.log_metrics({"mine": 1})
    late.seconds = 200
    take_up(store, run)
    before = content(store, run)
    with pytest.raises(LeaseLostError, match="taken up by another"):
        write(run)
    run.close("FAILED")
    run.close("KILLED")
    assert content(store, run) == before
    assert not run.folder.exists()


def test_a_process_that_was_paused_and_whose_run_nobody_took_goes_on_and_renews_its_lease(store, late):
    run = open_run(store, "paused")
    late.seconds = 200
    run.set_tags({"a": "1"})
    tags = store.client().get_run(run.run_id).data.tags
    assert tags["a"] == "1" and json.loads(tags[Tag.LEASE])["number"] == 1
    run.close("FINISHED")


@pytest.mark.parametrize("end", ["closed", "deleted"])
def test_a_run_that_somebody_ended_is_no_longer_this_process_s(store, late, end):
    run = open_run(store, end)
    late.seconds = 200
    store.client().set_terminated(run.run_id, "KILLED") if end == "closed" else store.client().delete_run(run.run_id)
    assert run.is_lost()
    run.close("FAILED")


def test_a_store_that_does_not_answer_is_no_lost_lease(late):
    class Away:
        def get_run(self, run_id):
            raise ConnectionError("the server is away")

    held = Lease(Away(), "a run", 90)
    late.seconds = 200
    assert not held.is_lost()
    with pytest.raises(ConnectionError):
        held.check()
    held.release()


def test_who_writes_does_not_wait_for_a_renewal_that_hangs(store, late):
    """As one does for minutes whose server is away."""
    run, answers, asked = open_run(store, "hangs", seconds=0.5), threading.Event(), threading.Event()
    client = run._lease._client

    class Hanging:
        def get_run(self, run_id):
            if threading.current_thread() is not threading.main_thread():
                asked.set()
                answers.wait(20)
            return client.get_run(run_id)

        def log_batch(self, *arguments, **more):
            client.log_batch(*arguments, **more)

    run._lease._client = Hanging()
    assert asked.wait(20)
    late.seconds = 200
    since = time.monotonic()
    run.progress(0.5)
    assert time.monotonic() - since < 10
    answers.set()
    run.close("FINISHED")
