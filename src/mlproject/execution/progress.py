"""What a person sees while steps run: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

from tqdm import tqdm

from mlproject.execution.standstill import Report, duration

_LINE_EVERY_SECONDS = 30.0


class Progress:
    """One display for all steps, whichever process executes them; its methods may be called from any thread.

    Args:
        stream: where to write; standard error by default.

    Attributes:
        silent_seconds: after which a step is named whose process says nothing; 0: never.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._since = time.monotonic()
        self._last_line = self._since
        self._total, self._finished = 0, 0
        self._lock = threading.RLock()
        self._shares: dict[str, float] = {}
        self.silent_seconds = 0.0
        self._named_at: dict[str, float] = {}
        self._heard_at: dict[str, float] = {}
        self._bar: tqdm | None = None
        if self._stream.isatty():
            self._bar = tqdm(
                file=self._stream,
                bar_format="{percentage:3.0f}%|{bar:24}| {elapsed}  {desc}",
                dynamic_ncols=True,
            )

    def expect(self, steps: int) -> None:
        """Add steps to the number that is shown as the whole."""
        with self._lock:
            self._total += steps
            self._draw()

    def start(self, name: str) -> None:
        """Show a step as running."""
        with self._lock:
            self._shares[name] = 0.0
            self._heard_at.pop(name, None)  # it may be submitted once more
            self._draw()

    def update(self, name: str, report: Report) -> None:
        """Show the finished share of a running step, 0 to 1, or say where it stands."""
        with self._lock:
            if name not in self._shares:  # it was on its way
                return
            self._heard_at[name] = time.monotonic()
            self._named_at.pop(name, None)
            if isinstance(report, str):
                self.say(f"{name}: {report}")
                return
            self._shares[name] = report
            self._draw()
            if self._bar is None and time.monotonic() - self._last_line > _LINE_EVERY_SECONDS:
                running = ", ".join(f"{name} {share:.0%}" for name, share in self._shares.items())
                self.say(f"running: {running}")

    def name_silent(self) -> None:
        """Name the steps whose processes have said nothing for long; once more whenever that time has doubled."""
        now = time.monotonic()
        with self._lock:
            for name, heard_at in self._heard_at.items() if self.silent_seconds else ():
                silent = now - heard_at
                if silent >= self._named_at.get(name, self.silent_seconds):
                    self._named_at[name] = 2 * silent
                    self.say(
                        f"{name}: its process has said nothing for {duration(silent)}, since {self._shares[name]:.0%}; "
                        "it is paused or cut off, or some code holds Python's lock"
                    )

    def finish(self, name: str, seconds: float) -> None:
        """Count a step as finished, in a line of its own."""
        with self._lock:
            for each in (self._shares, self._heard_at, self._named_at):
                each.pop(name, None)
            self._finished += 1
            self.say(f"{name} ({seconds:.1f} s)")
            self._draw()

    def say(self, line: str) -> None:
        """Print a line that stays, with the seconds since the start."""
        text = f"[{time.monotonic() - self._since:6.1f} s] {line}"
        with self._lock:
            if self._bar is not None:
                self._bar.write(text, file=self._stream)
            else:
                print(text, file=self._stream, flush=True)
            self._last_line = time.monotonic()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def _draw(self) -> None:
        if self._bar is not None:
            self._bar.total = max(1, self._total)
            self._bar.n = self._finished + sum(self._shares.values())
            self._bar.set_description_str(" + ".join(self._shares) or "ready", refresh=True)
