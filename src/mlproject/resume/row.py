"""A row of results that a step computes one after another, each saved once: batches of samples, or of scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from mlproject.resume.state import State, merge
from mlproject.resume.state_folder import StateFolder

_PLACE = "place"


class Row:
    """Results that come one after another; those of before are given back without being made again.

    They lie in files of their own, each written once, so that what a row costs does not grow with its length. A file
    says how many results come before it: files of two machines, which cut the row elsewhere, are not mixed up.

    Args:
        folder: where they lie; None: nothing is saved.
        name: of the row; no other row of the step has it.
        safe_point: called after every result that was made.
    """

    def __init__(self, folder: StateFolder | None, name: str, safe_point: Callable[[], None]) -> None:
        self._folder, self._name, self._safe_point = folder, re.sub(r"[^\w-]", "-", name), safe_point
        self._files, self._count = 0, 0
        self._saved = self._read()
        self._unsaved: list[State] = []

    def next(self, make: Callable[[], State]) -> State:
        """The next result: one that was saved, else made now.

        Args:
            make: computes it; must do so in the same way at every execution of the step.
        """
        if (state := next(self._saved, None)) is not None:
            return state
        state = make()
        if self._folder is not None:
            self._unsaved.append(state)
            self._safe_point()
        return state

    def save(self) -> None:
        """Write the results that are not saved yet."""
        if self._folder is not None and self._unsaved:
            results = {str(i): state for i, state in enumerate(self._unsaved)}
            before = State(values={"before": self._count})
            self._folder.write(self._file(self._files), merge({**results, _PLACE: before}))
            self._count += len(self._unsaved)
            self._unsaved.clear()
            self._files += 1

    def _read(self) -> Iterator[State]:
        """The saved results, one file in memory at a time; those behind a damaged file are made again."""
        while self._folder is not None and (results := self._folder.read(self._file(self._files))) is not None:
            if results.values[_PLACE]["before"] != self._count:
                return
            self._files, self._count = self._files + 1, self._count + len(results.values) - 1
            for i in range(len(results.values) - 1):
                yield results.within(str(i))

    def _file(self, number: int) -> str:
        return f"row-{self._name}-{number:06d}"
