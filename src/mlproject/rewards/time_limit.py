"""A call that must end in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TooSlowError(TimeoutError):
    """A call that did not end in time."""


def within(call: Callable[[], T], seconds: float) -> T:
    """The result of a call that must not take longer.

    The call runs in a thread, which nothing can end from outside: one that takes too long is left behind.

    Args:
        call: what to do.
        seconds: the limit; infinite: none.

    Raises:
        TooSlowError: where the limit strikes.
    """
    if seconds == float("inf"):
        return call()
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(call())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if failure:
        raise failure[0]
    if not result:
        raise TooSlowError
    return result[0]
