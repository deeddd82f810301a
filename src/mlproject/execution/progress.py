"""What a person sees while steps run: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from tqdm import tqdm

_LINE_EVERY_SECONDS = 30.0


class Progress:
    """One display for all steps, whichever process carries them out.

    Args:
        stream: where to write; standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._since = time.monotonic()
        self._last_line = self._since
        self._total, self._finished = 0, 0
        self._shares: dict[str, float] = {}
        self._bar: tqdm | None = None
        if self._stream.isatty():
            self._bar = tqdm(
                file=self._stream,
                bar_format="{percentage:3.0f}%|{bar:24}| {elapsed}  {desc}",
                dynamic_ncols=True,
            )

    def expect(self, steps: int) -> None:
        """So many steps more."""
        self._total += steps
        self._draw()

    def started(self, name: str) -> None:
        self._shares[name] = 0.0
        self._draw()

    def moved(self, name: str, share: float) -> None:
        """A running step has finished this share of its work, 0 to 1."""
        if name in self._shares:
            self._shares[name] = share
        self._draw()
        if self._bar is None and time.monotonic() - self._last_line > _LINE_EVERY_SECONDS:
            running = ", ".join(f"{name} {share:.0%}" for name, share in self._shares.items())
            self.say(f"running: {running}")

    def finished(self, name: str, seconds: float) -> None:
        self._shares.pop(name, None)
        self._finished += 1
        self.say(f"{name} ({seconds:.1f} s)")
        self._draw()

    def say(self, line: str) -> None:
        """One line that stays, with the seconds since the start."""
        text = f"[{time.monotonic() - self._since:6.1f} s] {line}"
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)
        self._last_line = time.monotonic()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _draw(self) -> None:
        if self._bar is not None:
            self._bar.total = max(1, self._total)
            self._bar.n = self._finished + sum(self._shares.values())
            self._bar.set_description_str(" + ".join(self._shares) or "ready", refresh=True)
