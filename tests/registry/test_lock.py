"""Whose turn it is: lower numbers first, undecided ones waited for, the dead passed over."""

import threading
import time

import pytest

from mlproject.errors import UserError
from mlproject.names import Tag
from mlproject.pipeline.step import Step
from mlproject.registry.lock import my_turn
from mlproject.tracking.runs import StepRun
from mlproject.tracking.store import open_store

NAME = "reward-model"
PATIENCE = 20


@pytest.fixture
def opened(store):
    """Opens promotion runs; afterwards none is left."""
    found = []

    def make(name=NAME, where=None, **tags):
        step = Step(
            f"p{len(found)}",
            "promotion",
            1,
            {"n": time.time()},
            "nowhere",
            tags={Tag.PROMOTION_MODEL: name, Tag.PROMOTION_ACTION: "promote"},
        )
        run = StepRun(where or store, step, {}, made_by="nobody")
        run.set_tags(tags)
        found.append(run)
        return run

    yield make
    for run in found:
        store.client().delete_run(run.run_id)


def tags_of(store, run):
    return store.client().get_run(run.run_id).data.tags


def turn_of(store, run):
    """An event that is set when a run has its turn."""
    has_come = threading.Event()

    def take():
        with my_turn(NAME, run):
            has_come.set()

    threading.Thread(target=take, daemon=True).start()
    return has_come


def test_the_first_has_its_turn_at_once_and_the_next_waits_until_it_has_ended(store, opened):
    first = opened()
    assert turn_of(store, first).wait(PATIENCE)
    second = opened()
    has_come = turn_of(store, second)
    assert not has_come.wait(1)
    assert int(tags_of(store, second)[Tag.PROMOTION_TURN]) == int(tags_of(store, first)[Tag.PROMOTION_TURN]) + 1
    first.close("FINISHED")
    assert has_come.wait(PATIENCE)


def test_one_that_has_not_drawn_its_number_is_waited_for(store, opened):
    undecided, mine = opened(), opened()
    has_come = turn_of(store, mine)
    assert not has_come.wait(1)
    undecided.set_tags({Tag.PROMOTION_TURN: "99"})
    assert has_come.wait(PATIENCE)


def test_promotions_of_another_experiment_are_waited_for(store, opened):
    other = opened(where=open_store("another"))
    has_come = turn_of(store, opened())
    assert not has_come.wait(1)
    other.close("FINISHED")
    assert has_come.wait(PATIENCE)


def test_promotions_of_another_model_are_not_waited_for(store, opened):
    opened(name="other")
    assert turn_of(store, opened()).wait(PATIENCE)


def test_a_dead_process_is_not_waited_for_and_its_run_says_that_it_was_cut_off(store, opened):
    dead = opened(**{Tag.PROMOTION_TURN: "1", Tag.PID: "999999"})
    assert turn_of(store, opened()).wait(PATIENCE)
    run = store.client().get_run(dead.run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags[Tag.PROMOTION_OUTCOME] == "cut-off"


def test_a_run_of_another_machine_is_waited_for_but_not_for_ever(store, opened):
    far = opened(**{Tag.PROMOTION_TURN: "1", Tag.HOST: "elsewhere"})
    mine = opened()
    refused = pytest.raises(UserError, match=f"promotion run {far.run_id} of host elsewhere has not ended")
    with refused, my_turn(NAME, mine, patience=0.5):
        pass
    assert store.client().get_run(mine.run_id).info.lifecycle_stage == "deleted"
