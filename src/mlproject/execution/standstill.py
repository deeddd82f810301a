"""Says where a step stands that makes no progress for long: in the process that executes it, by a thread beside it.

A step makes progress where it says so, writes to its run or saves its state. What one says to the thread that waits for
it is a share of the step, or such a line; shares are said again while it moves, so that silence means that the process
itself is paused, cut off, or held by code that keeps Python's lock.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Protocol

Report = float | str
"""The finished share of a step, 0 to 1; or where it stands, as a clause of a sentence."""

_LOOKS = 10
"""In the time after which a step is named."""

_LONGEST_WAIT_SECONDS = 10.0


class Moving(Protocol):
    """What a run says of its progress.

    Attributes:
        share: finished, 0 to 1.
        moved_at: when it was last written to, by `time.monotonic`.
    """

    share: float
    moved_at: float


@contextmanager
def standstill_is_named(run: Moving, report: Callable[[Report], None], seconds: float) -> Iterator[None]:
    """Inside, a step that stands still is named: after so many seconds, and whenever that time has doubled.

    Args:
        run: that this thread fills.
        report: called from another thread.
        seconds: without progress; 0: never.
    """
    if not seconds:
        yield
        return
    over, worker = threading.Event(), threading.get_ident()

    def tell(said: Report) -> None:
        with suppress(Exception):  # nobody listens any more
            report(said)

    def watch() -> None:
        named, seen = seconds, run.moved_at
        while not over.wait(min(seconds / _LOOKS, _LONGEST_WAIT_SECONDS)):
            if run.moved_at != seen:
                named, seen = seconds, run.moved_at
                tell(run.share)
            elif (still := time.monotonic() - seen) >= named:
                named = 2 * still
                tell(f"no progress for {duration(still)}, since {run.share:.0%}; it is {_place(worker)}")

    report(run.share)
    thread = threading.Thread(target=watch, name="standstill", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()  # whoever waits for the step gets no report after its answer


def duration(seconds: float) -> str:
    """A time as a person says it."""
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _place(thread: int) -> str:
    """Where a thread is: its innermost function, and the one of this package that called that."""
    innermost = ours = sys._current_frames().get(thread)
    while ours is not None and not _is_ours(ours):
        ours = ours.f_back
    if innermost is None:
        return "nowhere"
    if ours is None or ours is innermost:
        return f"in {_said(innermost)}"
    return f"in {_said(innermost)}, called by {_said(ours)}"


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("mlproject.")


def _said(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    return f"{frame.f_code.co_name} ({path.parent.name}/{path.name}, line {frame.f_lineno})"
