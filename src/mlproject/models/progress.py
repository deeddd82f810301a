"""How a long piece of work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float], None]
"""Called with the finished share of the work, 0 to 1."""


def no_progress(share: float) -> None:
    """Progress that is not reported."""
