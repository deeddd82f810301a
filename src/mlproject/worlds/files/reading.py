"""How a file was read, and how many of its rows were: the line that says it, and what a run keeps of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

TIES = "ties"
"""Reason of pairs of which neither response won."""


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
        counts = [f"{self.count:,} {self.unit}", *(f"{n:,} {why} dropped" for why, n in self.dropped.items() if n)]
        if self.skipped:
            counts.append(f"{self.skipped:,} invalid rows skipped")
        return f"read as {self.kind}, {', '.join(counts)}"

    def __str__(self) -> str:
        return f"{self.option}={self.path}: {self.summary}"
