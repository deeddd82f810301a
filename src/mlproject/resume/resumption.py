"""How a step saves its state at safe points, and finds it again: `Resumption`.

resumption = run.resumption
if (state := resumption.restored("training")) is not None:
    ...  # take up the work where it was
resumption.keep("training", lambda: State(...))
for ... in ...:
    ...
    resumption.safe_point()
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlproject.errors import interrupt_now, postpone_interruptions
from mlproject.models.collectives import broadcast
from mlproject.resume.row import Row
from mlproject.resume.state import State, merge
from mlproject.resume.state_folder import StateFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

Capture = Callable[[], State]
"""Gives the present state of a part of the work; called at safe points only."""

_SHARE = 0.01
"""Of a step's time, which states may take that are so large that one takes long."""

_LONG_SECONDS = 0.6

_RUNNING, _PHASE = "running", "phase-"
"""Names of the files: the state of what runs, and, with its own name behind, the result of each phase that is over."""


class Resumption:
    """The states of one step.

    A step is made of parts (the optimization and the curve that it has drawn, say), which are saved together, so that
    they fit each other. Where several processes share a step, the main one writes and reads; all call the same
    methods in the same order.

    Args:
        folder: where the states lie; None in a process that is not the main one.
        seconds: time between two states, which is longer where they take more than a hundredth of it; 0: nothing is
            saved or restored, in no process.
        clock: gives the time, in seconds.
        check: called before a state is written; raises where the step is no longer this process's.
    """

    def __init__(
        self,
        folder: StateFolder | None = None,
        seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._check = check
        self._folder, self._seconds, self._clock = folder if seconds else None, seconds, clock
        self._captures: dict[str, Capture] = {}
        self._unsaved: dict[str, State] = {}
        self._rows: list[Row] = []
        self._saved_at, self._pause = clock(), 0.0
        self._is_ending = False
        running = None if self._folder is None else self._folder.read(_RUNNING)
        self._restored: dict[str, State] = {}
        if running is not None and all(isinstance(values, dict) for values in running.values.values()):
            self._restored = {part: running.within(part) for part in running.values}

    def restored(self, part: str, accelerator: Accelerator | None = None) -> State | None:
        """The state of a part as it was last saved; None where it begins anew. Given once, to save memory."""
        if accelerator is None or not self._seconds:
            return self._restored.pop(part, None)
        return broadcast(accelerator, lambda: self._restored.pop(part, None))

    def keep(self, part: str, capture: Capture) -> None:
        """From now on, save a part with the others at every state.

        Args:
            part: its name.
            capture: gives its state.
        """
        self._captures[part] = capture
        self._postpone_interruptions()

    def row(self, name: str) -> Row:
        """Results that come one after another, each of them saved once; there is a safe point after each.

        Args:
            name: of the row; no other row of the step has it.
        """
        self._rows.append(row := Row(self._folder, name, self.safe_point))
        self._postpone_interruptions()
        return row

    def safe_point(self, accelerator: Accelerator | None = None) -> None:
        """Where the work could be interrupted: saves a state if it is time, or if a signal ends this process.

        Args:
            accelerator: of several processes that share the work; the main process decides and writes.

        Raises:
            Interrupted: where a signal came since the last one; the state is saved.
        """

        def plan() -> tuple[bool, bool]:
            return self._is_ending or self._is_due(), self._is_ending

        saves, ends = plan() if accelerator is None or not self._seconds else broadcast(accelerator, plan)
        if saves:
            self.save()
        if ends:
            interrupt_now()

    def save(self) -> None:
        """Save a state now."""
        state = merge({part: capture() for part, capture in self._captures.items()})  # in every process
        self._write(state if self._captures else None)

    def once(self, phase: str, make: Callable[[], State], accelerator: Accelerator | None = None) -> State:
        """The result of a phase: read where the phase was over before, else made, and saved with the next state.

        Args:
            phase: its name.
            make: does the work, and gives its result with the state of the random streams that it used.
            accelerator: of several processes that share the step; the main process makes.
        """

        def read_or_make() -> State:
            if self._folder is None:
                return make()
            if (saved := self._folder.read(_PHASE + phase)) is not None:
                return saved
            self._unsaved[phase] = state = make()
            if self._is_due():
                self._write()
            return state

        return read_or_make() if accelerator is None else broadcast(accelerator, read_or_make)

    def close(self) -> None:
        """Nothing more is saved: a signal interrupts what follows at once."""
        postpone_interruptions(None)

    def remove(self) -> None:
        """Remove all states: the step is finished."""
        if self._folder is not None:
            self._folder.remove()

    def _postpone_interruptions(self) -> None:
        if self._folder is not None and threading.current_thread() is threading.main_thread():
            postpone_interruptions(self._ask_to_end)

    def _ask_to_end(self) -> None:
        self._is_ending = True

    def _write(self, running: State | None = None) -> None:
        """Write what is not written yet, what runs last, since it builds on the rest."""
        if self._folder is None:
            return
        self._check()
        begun = self._clock()
        for phase, state in self._unsaved.items():
            self._folder.write(_PHASE + phase, state)
        self._unsaved.clear()
        for row in self._rows:
            row.save()
        if running is not None:
            self._folder.write(_RUNNING, running)
        took = self._clock() - begun
        self._folder.settle(self._is_ending)
        self._saved_at, self._pause = self._clock(), took / _SHARE if took > _LONG_SECONDS else 0.0

    def _is_due(self) -> bool:
        return self._folder is not None and self._clock() - self._saved_at >= max(self._seconds, self._pause)
