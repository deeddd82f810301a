"""Tables of names: each name is added where it is defined, together with what docs/tracking.md says about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class NameSpec:
    """One name of the tracking server's public contract.

    Attributes:
        name: as it is written; of a family of names, what they begin with, and a placeholder such as `<method>`.
        meaning: one line.
        when: which runs carry it, and when it is written.
        unit: of a number; empty for texts.
        since: first version that writes it.
    """

    name: str
    meaning: str
    when: str = ""
    unit: str = ""
    since: str = "0.1.0"


class NameTable:
    """The names of one sort, in the order in which they were added."""

    def __init__(self) -> None:
        self._specs: dict[str, NameSpec] = {}

    def add(self, name: str, meaning: str, when: str = "", unit: str = "", since: str = "0.1.0") -> str:
        """Add a name and return it.

        Raises:
            ValueError: where the table has it already.
        """
        if name in self._specs:
            raise ValueError(f"{name}: must be added once. Use the constant that holds it.")
        self._specs[name] = NameSpec(name, meaning, when, unit, since)
        return name

    def add_family(
        self, prefix: str, placeholder: str, meaning: str, when: str = "", unit: str = "", since: str = "0.1.0"
    ) -> str:
        """Add all names that begin with a prefix, as one row, and return the prefix."""
        self.add(prefix + placeholder, meaning, when, unit, since)
        return prefix

    def __iter__(self) -> Iterator[NameSpec]:
        return iter(self._specs.values())

    def __getitem__(self, name: str) -> NameSpec:
        return self._specs[name]

    def covers(self, name: str) -> bool:
        """Whether a name is in the table, by itself or as one of a family."""
        return name in self._specs or any(
            re.fullmatch(re.sub(r"<\w+>", ".+", re.escape(spec)), name) for spec in self._specs if "<" in spec
        )
