"""One study, many workers: Optuna's storage is the queue, the tracking server the record.

The queue has `n_trials` turns, each a waiting trial from the first moment. A worker takes one, proposes its parameters
with a sampler seeded by its number, and sends heartbeats while it carries it out. The trial of a worker that has fallen
silent is marked FAIL, and a copy with its parameters waits in its place, once. Whatever a worker was killed in the
middle of, the next one mends: a turn without a trial gets one, and of two trials for one turn the first counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from mlproject.config.schema import Config
from mlproject.search.space import Space
from mlproject.search.storage import HEARTBEAT_SECONDS, new_sampler

TURN = "queue/turn"
_DOUBLE = "queue/double"
_TRIES = 2
_POLL_SECONDS = 1.0


def is_queue(study: optuna.Study) -> bool:
    """Whether workers share this study; a search alone numbers its trials itself."""
    return any(TURN in trial.user_attrs for trial in study.get_trials(deepcopy=False))


def mend(study: optuna.Study, n_trials: int) -> None:
    """Fill the queue: every turn has a trial that is waiting, running or finished, or has failed twice."""
    optuna.storages.fail_stale_trials(study)
    turns = _by_turn(study)
    for turn in range(n_trials):
        trials = turns.get(turn, [])
        failed = [trial for trial in trials if trial.state == TrialState.FAIL]
        if len(failed) < len(trials) or len(failed) >= _TRIES:
            continue
        again = failed[-1] if failed else None
        study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=again.params if again else {},
                distributions=again.distributions if again else {},
                user_attrs={TURN: turn},
                system_attrs={"fixed_params": again.params if again else {}},
            )
        )


def next_trial(study: optuna.Study, config: Config) -> Trial | None:
    """The next waiting trial, with parameters; waits while others are at work, whose trials may come back.

    Returns:
        None once every turn is finished, or has failed twice.
    """
    space = Space.of(config).distributions()
    while True:
        mend(study, config.n_trials)
        for frozen in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if TURN not in frozen.user_attrs or not _take(study, frozen):
                continue
            study.sampler = new_sampler(config, frozen.number)
            trial = Trial(study, frozen._trial_id)
            for name, distribution in space.items():
                trial.suggest_int(name, distribution.low, distribution.high)
            return trial
        if not study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            return None
        time.sleep(_POLL_SECONDS)


@contextmanager
def heartbeat(study: optuna.Study, trial: Trial) -> Iterator[None]:
    """Say every few seconds that the trial is being carried out."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            _beat(study, trial._trial_id)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _take(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Make a waiting trial one's own; False where another worker was faster, or another trial has the turn."""
    storage = study._storage
    _beat(study, trial._trial_id)  # first, so that a worker killed right here is missed
    try:
        if not storage.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING):
            return False
    except optuna.exceptions.UpdateFinishedTrialError:
        return False
    rivals = [other for other in _by_turn(study)[trial.user_attrs[TURN]] if other.state != TrialState.FAIL]
    if rivals[0].number == trial.number:
        return True
    storage.set_trial_user_attr(trial._trial_id, _DOUBLE, True)
    storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
    return False


def _beat(study: optuna.Study, trial_id: int) -> None:
    study._storage.record_heartbeat(trial_id)


def _by_turn(study: optuna.Study) -> dict[int, list[FrozenTrial]]:
    """Trials of each turn by number, doubles left out."""
    turns: dict[int, list[FrozenTrial]] = {}
    for trial in study.get_trials(deepcopy=False):
        if TURN in trial.user_attrs and _DOUBLE not in trial.user_attrs:
            turns.setdefault(trial.user_attrs[TURN], []).append(trial)
    return turns
