"""Batches of scores that are kept as they are computed, so that a scoring that is interrupted does not begin anew.

Batches are formed deep inside a scorer, in whatever order reads them fastest, and anybody may write a scorer: so the
row in which they are kept is not handed down, but holds inside a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

from mlproject.resume.row import Row
from mlproject.resume.state import State

_row: ContextVar[Row | None] = ContextVar("row", default=None)


@contextmanager
def kept_in(row: Row | None) -> Iterator[None]:
    """Inside, every batch of scores is kept in a row, or taken from it.

    Args:
        row: the row; None where nothing is kept, as inside a function of the user's, which may have a cache of its own
            and then ask for other batches when it is asked again.
    """
    token = _row.set(row)
    try:
        yield
    finally:
        _row.reset(token)


def kept(compute: Callable[[], Tensor]) -> Tensor:
    """The scores of a batch: those that were kept, else computed now. Shape: (B,), on the CPU."""
    row = _row.get()
    return compute().cpu() if row is None else row.next(lambda: State({"scores": compute().cpu()})).tensors["scores"]
