"""Rows of a user's file, and what becomes of invalid ones.

An error names file, line and field of an invalid row; `bad_lines=skip` skips invalid rows and lists them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from mlproject.errors import UserError

SYSTEM_COLUMNS = ("system", "system_prompt", "system_message")
"""Columns of a system prompt beside the prompt."""

MISSING = {"", "nan", "null", "none", "na", "n/a", "-", "<na>"}
"""Texts, in lower case, that stand for a cell without a value."""

LONGEST_TEXT = 1_000_000
"""Characters of a text; some tokenizers need minutes for more."""

_SHOWN_FIELDS = 20
"""Names of fields that a message lists."""

Refuses = Callable[[str], str]
"""Prompt -> why one of the models' chat templates refuses it; empty where all take it."""


def takes_all(prompt: str) -> str:
    """No prompt is refused."""
    return ""


@dataclass
class InvalidRows:
    """What to do with the invalid rows of a file: stop at the first, or skip and list them.

    Attributes:
        skip: whether invalid rows are skipped.
        skipped: one line for each skipped row.
        refuses: which prompts the models cannot read.
    """

    skip: bool = False
    skipped: list[str] = field(default_factory=list)
    refuses: Refuses = takes_all

    def check_prompt(self, name: str, prompt: str) -> None:
        """Check that the models can read a prompt.

        Raises:
            ValueError: if one cannot; says which, and why.
        """
        if reason := self.refuses(prompt):
            raise ValueError(f"field {name} must be a conversation that the models' chat templates take, but {reason}")

    def report(self, place: str, problem: str) -> None:
        """Report an invalid row.

        Args:
            place: file and line of the row.
            problem: what is wrong.

        Raises:
            UserError: unless invalid rows are skipped.
        """
        if not self.skip:
            raise UserError(f"{place}: {problem}. Fix the row or use bad_lines=skip.")
        self.skipped.append(f"{place}: {problem}")

    def summary(self) -> str:
        """A sentence about the skipped rows, with a leading space; empty if there are none."""
        if not self.skipped:
            return ""
        return f" {len(self.skipped)} invalid rows were skipped, the first: {self.skipped[0]}."


BadLines = InvalidRows  # its name in 0.1


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        place: file and line (or row), for error messages.
        values: values by field.
        problem: why the row cannot be read; empty if it can.
    """

    place: str
    values: Mapping[str, Any]
    problem: str = ""

    @property
    def system(self) -> str:
        """The system prompt that stands in a column of its own; empty where there is none."""
        given = (self.values.get(name) for name in SYSTEM_COLUMNS)
        return next((text for text in given if isinstance(text, str) and text.strip()), "")

    def text(self, name: str) -> str:
        """The value of a field that must be a text.

        Raises:
            ValueError: if it is no text; says what it is.
        """
        value = self.value(name)
        if not isinstance(value, str):
            raise ValueError(f"field {name} must be a text, not {kind_of(value)}")
        return checked_text(name, value)

    def value(self, name: str) -> Any:
        """The value of a field.

        Raises:
            ValueError: if the field is missing or empty (null, nan).
        """
        if name not in self.values:
            names = [
                *islice(map(str, self.values), _SHOWN_FIELDS),
                *(["..."] if len(self.values) > _SHOWN_FIELDS else []),
            ]
            raise ValueError(f"field {name} is missing; the row has {', '.join(names) or 'no fields'}")
        value = self.values[name]
        if value is None or value != value:
            raise ValueError(f"field {name} must not be empty")
        return value


def checked_text(name: str, text: str) -> str:
    """The text itself.

    Raises:
        ValueError: if it is longer than any model reads, cannot be written as UTF-8 (half a surrogate pair) or contains
            a null character.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"field {name} must have at most {LONGEST_TEXT:,} characters, not {len(text):,}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problem = f"field {name} must not contain half a surrogate pair (character {error.start + 1})"
        raise ValueError(problem) from None
    if "\0" in text:
        raise ValueError(f"field {name} must not contain a null character")
    return text


def kind_of(value: Any) -> str:
    """The kind of a value, for error messages."""
    kinds = {
        str: "a text",
        dict: "an object",
        list: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    if value is None:
        return "nothing"
    return kinds.get(type(value), f"a {type(value).__name__}")


def number_of(row: Row, name: str) -> float:
    """The value of a field that must be a number, or the text of one.

    Raises:
        ValueError: if it is none; says what it is.
    """
    value = row.value(name)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"field {name} must be a number, not {value[:40]!r}") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"field {name} must be a number, not {kind_of(value)}")
    return value
