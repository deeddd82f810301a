"""The promotion lock: lower numbers first, runs without a number are waited for, dead ones are not."""

import threading
import time

import pytest

from mlproject.errors import UserError
from mlproject.names import Action, Kind, Tag
from mlproject.pipeline.step import Step
from mlproject.registry.lock import promotion_lock
from mlproject.tracking.liveness import WrittenLease
from mlproject.tracking.runs import StepRun
from mlproject.tracking.store import open_store

NAME = "reward-model"
SOON = 20
"""Seconds within which a run that nobody blocks gets the lock, on a busy machine too."""


@pytest.fixture
def open_run(store):
    """Opens promotion runs, which are deleted after the test."""
    opened = []

    def open_one(name=NAME, where=None, **tags):
        step = Step(
            f"p{len(opened)}",
            Kind.PROMOTION,
            1,
            {"n": time.time()},
            tags={Tag.PROMOTION_MODEL: name, Tag.PROMOTION_ACTION: Action.PROMOTE},
        )
        run = StepRun(where or store, step, {}, made_by="nobody")
        run.set_tags(tags)
        opened.append(run)
        return run

    yield open_one
    for run in opened:
        store.client().delete_run(run.run_id)


def tags_of(store, run):
    return store.client().get_run(run.run_id).data.tags


def lock_in_thread(run):
    """An event that is set once a run holds the lock."""
    locked = threading.Event()

    def wait_for_lock():
        with promotion_lock(NAME, run):
            locked.set()

    threading.Thread(target=wait_for_lock, daemon=True).start()
    return locked


def test_the_first_run_gets_the_lock_at_once_and_the_next_waits_until_it_has_ended(store, open_run):
    first = open_run()
    assert lock_in_thread(first).wait(SOON)
    second = open_run()
    locked = lock_in_thread(second)
    assert not locked.wait(1)
    numbers = [int(tags_of(store, run)[Tag.PROMOTION_TURN]) for run in (first, second)]
    assert numbers[1] == numbers[0] + 1
    first.close("FINISHED")
    assert locked.wait(SOON)


def test_a_run_that_has_not_drawn_its_number_is_waited_for(open_run):
    without_number, waiting = open_run(), open_run()
    locked = lock_in_thread(waiting)
    assert not locked.wait(1)
    without_number.set_tags({Tag.PROMOTION_TURN: "99"})
    assert locked.wait(SOON)


def test_promotions_of_another_experiment_are_waited_for(open_run):
    other = open_run(where=open_store("another"))
    locked = lock_in_thread(open_run())
    assert not locked.wait(1)
    other.close("FINISHED")
    assert locked.wait(SOON)


def test_promotions_of_another_model_are_not_waited_for(open_run):
    open_run(name="other")
    assert lock_in_thread(open_run()).wait(SOON)


def test_a_dead_process_is_not_waited_for_and_its_run_is_recorded_as_interrupted(store, open_run):
    dead = open_run(**{Tag.PROMOTION_TURN: "1", Tag.PID: "999999"})
    assert lock_in_thread(open_run()).wait(SOON)
    run = store.client().get_run(dead.run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags[Tag.PROMOTION_OUTCOME] == "cut-off"


def test_a_run_on_another_machine_whose_lease_has_run_out_is_not_waited_for(store, open_run):
    lease = WrittenLease.new(2).tag()
    remote = open_run(**{Tag.PROMOTION_TURN: "1", Tag.HOST: "elsewhere", **lease})
    waiting = open_run()
    locked = lock_in_thread(waiting)
    assert not locked.wait(1)
    assert locked.wait(SOON)
    assert store.client().get_run(remote.run_id).info.status == "KILLED"


def test_a_run_on_another_machine_without_a_lease_is_waited_for_until_the_timeout(store, open_run):
    """As an earlier release left it."""
    remote = open_run(**{Tag.PROMOTION_TURN: "1", Tag.HOST: "elsewhere", Tag.LEASE: ""})
    waiting = open_run()
    refused = pytest.raises(UserError, match=f"promotion run {remote.run_id} on host elsewhere has not ended")
    with refused, promotion_lock(NAME, waiting, timeout=0.5):
        pass
    assert store.client().get_run(waiting.run_id).info.lifecycle_stage == "deleted"
