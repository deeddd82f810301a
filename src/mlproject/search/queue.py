"""One search, many workers: Optuna's storage is the queue, and the tracking server holds the runs.

The queue has `n_trials` slots, each filled with a waiting trial from the start. A worker takes a trial, proposes its
parameters with a sampler seeded by the trial number, and sends heartbeats while it runs it. If the heartbeats stop, the
trial is marked FAIL and a copy with the same parameters is queued in its slot, once. Whatever a worker was doing when
it was killed, the next one repairs: an empty slot gets a trial, and of two trials in one slot the first counts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from mlproject.config.schema import Config
from mlproject.names import TrialAttribute
from mlproject.search.space import Space
from mlproject.search.storage import HEARTBEAT_SECONDS, new_sampler

_MAX_ATTEMPTS = 2


def is_queue(study: optuna.Study) -> bool:
    """Whether workers share this study; a search in a single process adds its trials itself."""
    return any(TrialAttribute.QUEUE_SLOT in trial.user_attrs for trial in study.get_trials(deepcopy=False))


def repair_queue(study: optuna.Study, n_trials: int) -> None:
    """Add trials until every slot has one that is waiting, running or finished, or has failed twice."""
    optuna.storages.fail_stale_trials(study)
    slots = _trials_by_slot(study)
    for slot in range(n_trials):
        trials = slots.get(slot, [])
        failed = [trial for trial in trials if trial.state == TrialState.FAIL]
        if len(failed) < len(trials) or len(failed) >= _MAX_ATTEMPTS:
            continue
        retried = failed[-1] if failed else None
        study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=retried.params if retried else {},
                distributions=retried.distributions if retried else {},
                user_attrs={TrialAttribute.QUEUE_SLOT: slot},
                system_attrs={"fixed_params": retried.params if retried else {}},
            )
        )


def next_trial(study: optuna.Study, config: Config) -> Trial | None:
    """The next waiting trial, with parameters; None where none waits now."""
    space = Space.of(config).distributions()
    repair_queue(study, config.n_trials)
    for frozen in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if TrialAttribute.QUEUE_SLOT not in frozen.user_attrs or not _claim(study, frozen):
            continue
        study.sampler = new_sampler(config, frozen.number)
        trial = Trial(study, frozen._trial_id)
        for name, distribution in space.items():
            trial.suggest_int(name, distribution.low, distribution.high)
        return trial
    return None


def is_over(study: optuna.Study) -> bool:
    """Whether no trial waits or runs: every slot has a finished trial or has failed twice."""
    return not study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))


@contextmanager
def heartbeat(study: optuna.Study, trial: Trial) -> Iterator[None]:
    """Records heartbeats of a trial from a thread until the block ends."""
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(HEARTBEAT_SECONDS):
            _beat(study, trial._trial_id)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _claim(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Set a waiting trial to RUNNING; False if another worker, or another trial of the slot, was first."""
    storage = study._storage
    _beat(study, trial._trial_id)  # first, so that the trial counts as stale if this worker is killed right here
    try:
        if not storage.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING):
            return False
    except optuna.exceptions.UpdateFinishedTrialError:
        return False
    rivals = [
        other
        for other in _trials_by_slot(study)[trial.user_attrs[TrialAttribute.QUEUE_SLOT]]
        if other.state != TrialState.FAIL
    ]
    if rivals[0].number == trial.number:
        return True
    storage.set_trial_user_attr(trial._trial_id, TrialAttribute.QUEUE_DUPLICATE, True)
    storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
    return False


def _beat(study: optuna.Study, trial_id: int) -> None:
    study._storage.record_heartbeat(trial_id)


def _trials_by_slot(study: optuna.Study) -> dict[int, list[FrozenTrial]]:
    """Trials of each slot, ordered by number, without duplicates."""
    slots: dict[int, list[FrozenTrial]] = {}
    for trial in study.get_trials(deepcopy=False):
        if TrialAttribute.QUEUE_SLOT in trial.user_attrs and TrialAttribute.QUEUE_DUPLICATE not in trial.user_attrs:
            slots.setdefault(trial.user_attrs[TrialAttribute.QUEUE_SLOT], []).append(trial)
    return slots
