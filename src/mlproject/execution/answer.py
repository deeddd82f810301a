"""What a process that executes an assignment answers: the outcome, or the exception, in a form that can be sent."""

from __future__ import annotations

import pickle
import signal
import traceback
from collections.abc import Callable
from typing import Any

from mlproject.errors import ENDING_SIGNALS, forget_interruption, interrupt, text_of
from mlproject.execution.assignment import Assignment, OnProgress, Outcome

OUTCOME, ERROR = "outcome", "error"
"""Kinds of answers."""

Answer = tuple[str, Any]


def answer(assignment: Assignment, on_progress: OnProgress) -> Answer:
    """Execute an assignment in this process, which signals interrupt meanwhile.

    Args:
        assignment: what to execute.
        on_progress: called with the finished share.
    """
    before = {each: signal.getsignal(each) for each in ENDING_SIGNALS}
    handle_signals(interrupt)
    try:
        return OUTCOME, assignment.execute(on_progress)
    except BaseException as error:
        return ERROR, _picklable(error)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        forget_interruption()


def outcome_in(answer: Answer) -> Outcome | None:
    """The outcome of an answer.

    Raises:
        BaseException: where it is one.
    """
    kind, content = answer
    if kind == ERROR:
        raise content
    return content


def handle_signals(handler: Callable[..., object] | signal.Handlers) -> None:
    """Ctrl-C, the end of a terminal, and schedulers reach all processes of a study, not the first alone."""
    for ending in ENDING_SIGNALS:
        signal.signal(ending, handler)


def _picklable(error: BaseException) -> BaseException:
    """The error with its traceback as a note; one that cannot be pickled becomes a RuntimeError of the same text."""
    error.add_note(f"In a worker process:\n{''.join(traceback.format_exception(error))}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        stand_in = RuntimeError(f"{type(error).__name__}: {text_of(error)}")
        stand_in.add_note(error.__notes__[-1])
        return stand_in
    return error
