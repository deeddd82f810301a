"""Every slot of the queue ends with one finished trial, whatever the workers were doing when they were killed."""

from __future__ import annotations

import threading
import time

import optuna
import pytest
from optuna.trial import TrialState

from mlproject.config.schema import load_config
from mlproject.names import TrialAttribute
from mlproject.search.queue import heartbeat, is_over, is_queue, next_trial, repair_queue

N = 4
OPTIONS = {"n_trials": str(N), "search_kl_coefs": "0,0.01,0.1,0.3", "search_rm_sizes": "1k,3k,25k,100k"}
GRACE_SECONDS = 1


@pytest.fixture(scope="module")
def config():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return load_config("laptop", OPTIONS)


@pytest.fixture
def study(tmp_path):
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{tmp_path}/optuna.db", heartbeat_interval=1, grace_period=GRACE_SECONDS
    )
    return optuna.create_study(storage=storage, direction="maximize")


def slots(study, *states):
    return [trial.user_attrs[TrialAttribute.QUEUE_SLOT] for trial in study.get_trials(states=states or None)]


def test_every_slot_gets_one_waiting_trial_however_often_the_queue_is_repaired(study):
    assert not is_queue(study)
    for _ in range(2):
        repair_queue(study, N)
    assert slots(study, TrialState.WAITING) == list(range(N))
    assert is_queue(study)


def test_workers_take_each_slot_once_and_stop_when_all_are_finished(study, config):
    params = []
    while (trial := next_trial(study, config)) is not None:
        params.append(trial.params)
        study.tell(trial, 1.0)
    assert slots(study, TrialState.COMPLETE) == list(range(N))
    assert all(set(each) == {"kl_coef_index", "rm_size_index"} for each in params)


def test_a_failed_trial_is_retried_once_with_its_parameters(study, config):
    one = config.replace(n_trials=1)
    first = next_trial(study, one)
    study.tell(first, state=TrialState.FAIL)
    second = next_trial(study, one)
    assert (second.params, second.user_attrs[TrialAttribute.QUEUE_SLOT]) == (
        first.params,
        first.user_attrs[TrialAttribute.QUEUE_SLOT],
    )
    assert second.number != first.number
    assert next_trial(study, one) is None and not is_over(study), "it may fail, and be queued again"
    study.tell(second, state=TrialState.FAIL)
    assert next_trial(study, one) is None and is_over(study)


def test_a_trial_whose_worker_sends_no_more_heartbeats_is_queued_again(study, config):
    one = config.replace(n_trials=1)
    dead = next_trial(study, one)
    time.sleep(2 * GRACE_SECONDS + 0.5)  # time stamps of SQLite have whole seconds
    repair_queue(study, 1)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]
    assert next_trial(study, one).params == dead.params


def test_heartbeats_are_sent_until_the_block_ends(study, config, monkeypatch):
    monkeypatch.setattr("mlproject.search.queue.HEARTBEAT_SECONDS", 0.01)
    trial, beats, third = next_trial(study, config), [], threading.Event()

    def record(trial_id):
        beats.append(trial_id)
        if len(beats) == 3:
            third.set()

    monkeypatch.setattr(study._storage, "record_heartbeat", record)
    with heartbeat(study, trial):
        assert third.wait(60)
    sent = len(beats)
    time.sleep(0.1)
    assert len(beats) == sent
    assert set(beats) == {trial._trial_id}


def test_of_two_trials_in_one_slot_the_first_counts(study, config):
    repair_queue(study, 1)  # two workers that repair at once
    study.add_trial(optuna.create_trial(state=TrialState.WAITING, user_attrs={TrialAttribute.QUEUE_SLOT: 0}))
    one = config.replace(n_trials=1)
    first = next_trial(study, one)
    assert first.number == 0
    study.tell(first, 1.0)
    assert next_trial(study, one) is None
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.FAIL]


def test_a_trial_that_another_worker_took_is_not_taken_twice(study, config, monkeypatch):
    repair_queue(study, 2)
    waiting = study.get_trials(states=(TrialState.WAITING,))
    assert study._storage.set_trial_state_values(waiting[0]._trial_id, state=TrialState.RUNNING)
    taken = next_trial(study, config.replace(n_trials=2))
    assert taken.number == waiting[1].number
