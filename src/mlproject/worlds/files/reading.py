"""How a file was read, and how many of its rows were: the line that says it, and what a run keeps of it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

TIES, IDENTICAL, EMPTY = "ties", "identical pairs", "pairs with an empty turn"
"""Reasons for leaving out a pair."""
EMPTY_ROWS = "rows with an empty turn"
"""Reason for leaving out a row of prompts."""


@dataclass
class Reading:
    """What was read from a file.

    Attributes:
        option: the option that names the file.
        path: the file.
        title: kind of the file, in words.
        says: what was taken for what.
        unit: `pairs` or `prompts`.
        count: how many there are.
        dropped: number of pairs or rows that were left out, by reason.
        skipped: number of invalid rows that were skipped.
        is_as_before: whether version 0.1 read the same from this file.
    """

    option: str
    path: Path
    title: str
    says: str
    unit: str = "pairs"
    count: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    is_as_before: bool = True

    @property
    def kind(self) -> str:
        """Kind of the file and what was taken for what."""
        return f"{self.title}: {self.says}" if self.says else self.title

    @property
    def summary(self) -> str:
        """Kind of the file, and the counts."""
        counts = [counted(self.count, self.unit)]
        counts += [f"{counted(count, why)} dropped" for why, count in self.dropped.items() if count]
        if self.skipped:
            counts.append(f"{counted(self.skipped, 'invalid rows')} skipped")
        return f"read as {self.kind}, {', '.join(counts)}"

    def __str__(self) -> str:
        return f"{self.option}={self.path}: {self.summary}"


def counted(count: int, things: str) -> str:
    """A number of things, in the singular where it is one."""
    if count == 1:
        things = re.sub(r"(tie|pair|row|prompt)s", r"\1", things)
    return f"{count:,} {things}"
