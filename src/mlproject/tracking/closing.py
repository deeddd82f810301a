"""Fills the run of a step and closes it with the status that it deserves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlproject.tracking.patience import without_waiting
from mlproject.tracking.runs import StepRun


def execute(run: StepRun, fn: Callable[[StepRun], None]) -> None:
    """Fill a run and close it, see `closing`.

    Args:
        run: an open run.
        fn: fills it.

    Raises:
        BaseException: what `fn` raises.
    """
    with closing(run):
        fn(run)


@contextmanager
def closing(run: StepRun) -> Iterator[None]:
    """Close a run after the block that fills it, as FINISHED, FAILED (for any exception) or KILLED (for Ctrl-C, and
    where the block waits for something and is ended)."""
    try:
        yield
        run.close("FINISHED")
    except (KeyboardInterrupt, GeneratorExit):
        run.close("KILLED")
        raise
    except BaseException as error:
        with without_waiting(error):
            run.close("FAILED")
        raise
