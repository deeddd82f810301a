"""Exceptions for a user's mistake, a refusal and an interruption, and the one-line message of any exception."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class UserError(ValueError):
    """A mistake that the user can correct: one line that says what was given, what must hold and what to do.

    The command line prints the line without a traceback and exits with code 2.

    Examples:
        >>> from mlproject import UserError, load_config
        >>> try:
        ...     load_config("laptop", {"ppo_updates": 0})
        ... except UserError as error:
        ...     print(error)
        ppo_updates=0: must be a whole number from 1 to 1,000,000.
    """


class NotFiniteError(UserError):
    """A score, log-probability, KL or weight that is nan or infinite, named where it came from.

    Args:
        source: what gave it: a reward model, a function, a policy.
        problem: what it gave.
        remedy: what to do, a whole sentence.
        places: where, from the inside out: the prompt, the step, the run.
        row: index of the first response concerned, for those who know its prompt; None: unknown.

    Examples:
        >>> from mlproject import NotFiniteError
        >>> print(NotFiniteError("proxy my-rm", "gives nan to 1 of 8 responses", "Check its weights.").at("at step 3"))
        proxy my-rm: gives nan to 1 of 8 responses, at step 3. Check its weights.
    """

    def __init__(
        self, source: str, problem: str, remedy: str, places: tuple[str, ...] = (), row: int | None = None
    ) -> None:
        super().__init__(source, problem, remedy, places, row)
        self.source, self.problem, self.remedy, self.places, self.row = source, problem, remedy, places, row

    def __str__(self) -> str:
        return f"{', '.join([f'{self.source}: {self.problem}', *self.places])}. {self.remedy}"

    def at(self, place: str) -> NotFiniteError:
        """The same error with one more place."""
        return NotFiniteError(self.source, self.problem, self.remedy, (*self.places, place), self.row)

    def of(self, role: str) -> NotFiniteError:
        """The same error whose source plays a role, where that is not said yet."""
        source = self.source if self.source.startswith(role) else f"{role} {self.source}"
        return NotFiniteError(source, self.problem, self.remedy, self.places, self.row)


@contextmanager
def located(place: str, role: str = "") -> Iterator[None]:
    """Inside, a `NotFiniteError` is told where it happened, and what its source plays."""
    try:
        yield
    except NotFiniteError as error:
        raise error.of(role).at(place) if role else error.at(place) from None


class MachineError(Exception):
    """The machine failed to give what a command needs: memory, room on a disk, a database that can be written.

    The command line prints the line without a traceback and exits with code 2. Runs that were finished are kept, and
    the same command continues.
    """


class RefusedError(Exception):
    """What was asked for is refused: an answer, not a mistake. Exit code 3.

    Examples:
        >>> from mlproject import RefusedError, UserError
        >>> issubclass(RefusedError, UserError)  # a refusal is an answer, not a mistake
        False
    """


class Interrupted(KeyboardInterrupt):
    """A signal ends this process; not a `KeyboardInterrupt` that somebody's code raises of its own accord."""


ENDING_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")  # `mlflow run` forwards Ctrl-C as the first two, clusters send SIGTERM
    if hasattr(signal, name)
)
"""Signals that end a command in good order, and its workers."""


_GRACE_SECONDS = 3.0
"""How long work that saves its state may take to come to a point where it can."""
_IMPORT_SECONDS, _LOOK_SECONDS = 5.0, 0.05
"""How long an import may take to end, and how often it is looked whether it has."""

_postpone: Callable[[], None] | None = None


def postpone_interruptions(ask: Callable[[], None] | None) -> None:
    """Let work that saves its state end by itself when a signal comes; it is interrupted after three seconds at most.

    Args:
        ask: called when the signal comes; whoever is asked calls `interrupt_now` soon. None: interrupt at once again.
    """
    global _postpone
    _postpone = ask


def interrupt(*signal_and_frame: object) -> None:
    """The handler of those signals: only the first one counts, so that a second does not keep runs from being closed.

    Raises:
        Interrupted: unless that is postponed.
    """
    for ending in ENDING_SIGNALS:
        signal.signal(ending, signal.SIG_IGN)
    if sys.unraisablehook is not _interrupt_again:
        global _report_unraisable
        _report_unraisable, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    if _postpone is None or not hasattr(signal, "setitimer"):
        _interrupt_after_imports(signal_and_frame[-1] if signal_and_frame else None, time.monotonic() + _IMPORT_SECONDS)
        return
    signal.signal(signal.SIGALRM, interrupt_now)
    signal.setitimer(signal.ITIMER_REAL, _GRACE_SECONDS)
    _postpone()


_report_unraisable: Callable[[Any], object] = sys.unraisablehook


def _interrupt_again(unraisable: Any) -> None:
    """What Python calls with an exception that it cannot raise: an interruption that came while an object was finalized
    would be lost, and no second signal is heard."""
    if not isinstance(unraisable.exc_value, Interrupted) or not hasattr(signal, "setitimer"):
        _report_unraisable(unraisable)
        return
    _interrupt_later(time.monotonic() + _IMPORT_SECONDS)


def _interrupt_later(until: float) -> None:
    """`_interrupt_after_imports` in a moment, by an alarm."""
    signal.signal(signal.SIGALRM, lambda _, now: _interrupt_after_imports(now, until))
    signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS)


def _interrupt_after_imports(frame: object, until: float) -> None:
    """Interrupt, but not in the middle of an import: parts of torch abort the process when one of theirs is.

    Args:
        frame: what is being executed.
        until: when an import that is under way is waited for no longer, as `time.monotonic` has it.

    Raises:
        Interrupted: unless one is.
    """
    if time.monotonic() > until or not hasattr(signal, "setitimer") or not _is_importing(frame):
        raise Interrupted
    _interrupt_later(until)


def _is_importing(frame: object) -> bool:
    while isinstance(frame, FrameType):
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def interrupt_now(*signal_and_frame: object) -> None:
    """End this process by an interruption that was postponed.

    Raises:
        Interrupted: always.
    """
    forget_interruption()
    raise Interrupted


def forget_interruption() -> None:
    """Call off an interruption that was postponed: the work has ended by itself."""
    postpone_interruptions(None)
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def is_interruption(error: BaseException) -> bool:
    """Whether an exception that came out of somebody's code is a signal to this process, and not the code's own."""
    if isinstance(error, Interrupted):
        return True
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is not interrupt


def text_of(error: BaseException) -> str:
    """The message of an exception; empty if it has none, or cannot say it."""
    try:
        return str(error)
    except Exception:
        return ""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or the name of its class if it has none."""
    return (text_of(error).splitlines() or [type(error).__name__])[0]


_LONGEST_MESSAGE = 300


def describe(error: BaseException) -> str:
    """Type and message of an exception, shortened to one line."""
    message = " ".join(text_of(error).split())[:_LONGEST_MESSAGE]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
