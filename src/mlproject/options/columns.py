"""Columns of a user's table, as he names them by meaning: `kl=objective/kl,gold=eval/gold`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from mlproject.errors import UserError

_LISTED = 12  # names in a message


def named_columns(text: str, meanings: Collection[str], option: str = "columns") -> dict[str, str]:
    """Parse `kl=objective/kl,gold=eval/gold`. A column's name may itself contain commas.

    Args:
        text: value of the option `columns`.
        meanings: the names that may stand before an equals sign.
        option: name of the option, for messages.

    Returns:
        column by meaning.

    Raises:
        UserError: for another syntax, an unknown name, or a repeated one.
    """
    columns: dict[str, str] = {}
    known = "|".join(meanings)
    for part in re.split(rf",(?=\s*(?:{known})\s*=)", text) if text.strip() else []:
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise UserError(f"{option}={text}: {part.strip()!r} must have the form name=column.")
        if name not in meanings:
            raise UserError(f"{option}={text}: {name} must be one of {', '.join(meanings)}.")
        if name in columns:
            raise UserError(f"{option}={text}: {name} is repeated. Give it once.")
        columns[name] = column
    for name, column in columns.items():
        same = [other for other in columns if other < name and columns[other] == column]
        if same:
            raise UserError(f"{option}={text}: {same[0]} and {name} are both {column}. Give each its own column.")
    return columns


def listed(names: Sequence[str]) -> str:
    """Names for a message, not all of them if there are many."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(str(name)[:80] for name in names[:_LISTED]) or "none") + more


@lru_cache(maxsize=1 << 18)  # a table of many columns asks for each of them many times
def plain(name: str) -> str:
    """A name without case and separators."""
    return re.sub(r"[^a-z0-9]+", "_", str(name).casefold())


def hint(wanted: str, names: Sequence[str]) -> str:
    """` (did you mean NAME?)` for the name that is most alike, if one is."""
    close = difflib.get_close_matches(plain(wanted), {plain(name): name for name in names}, n=1, cutoff=0.6)
    return next((f" (did you mean {name}?)" for name in names if close and plain(name) == close[0]), "")
