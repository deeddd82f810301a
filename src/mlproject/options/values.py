"""The value of an option: read from a text, checked, and described."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field
from typing import Any

from mlproject.errors import UserError

_KINDS: dict[str, type] = {"int": int, "float": float, "str": str}
_LISTS = {f"tuple[{name}, ...]": kind for name, kind in _KINDS.items()}


def convert(option: Field, value: Any) -> Any:
    """Convert a value from YAML or the command line to the option's type.

    Raises:
        UserError: if it does not convert.
    """
    if value is False and "no" in (option.metadata["choices"] or ()):
        value = "no"  # YAML reads a bare no as false
    if value is True and "yes" in (option.metadata["choices"] or ()):
        value = "yes"
    try:
        if _annotation(option) not in _LISTS:
            return _scalar(_kind(option), value)
        if isinstance(value, str) and not value.strip():
            return ()
        parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        return tuple(_scalar(_kind(option), part.strip() if isinstance(part, str) else part) for part in parts)
    except (ValueError, TypeError, OverflowError):
        raise UserError(f"{option.name}={to_text(value)}: must be {requirement(option)}.") from None


def check(option: Field, value: Any) -> None:
    """Check a value of the option's type.

    Raises:
        UserError: for a value out of range, an empty list, or a list with a repeated or blank item.
    """
    items = value if isinstance(value, tuple) else (value,)
    meta = option.metadata
    is_wrong = (
        (not items and not meta["allow_empty"])
        or len(set(items)) != len(items)
        or any(isinstance(item, float) and not math.isfinite(item) for item in items)
        or (isinstance(value, tuple) and any(isinstance(item, str) and not item.strip() for item in items))
        or (meta["choices"] and any(not _is_choice(meta, item) for item in items))
        or (meta["minimum"] is not None and any(item < meta["minimum"] for item in items))
        or (meta["maximum"] is not None and any(item > meta["maximum"] for item in items))
    )
    if is_wrong:
        raise UserError(f"{option.name}={to_text(value)}: must be {requirement(option)}.")


def requirement(option: Field) -> str:
    """What a value must be, for people: `a whole number of at least 1`."""
    meta = option.metadata
    text = {int: "a whole number", float: "a number", str: "text"}[_kind(option)]
    if meta["choices"]:
        text = "one of " + ", ".join(meta["choices"])
        text += f", or {meta['form'].name}" if meta["form"] else ""
    elif meta["minimum"] is not None and meta["maximum"] is not None:
        text += f" from {_number(meta['minimum'])} to {_number(meta['maximum'])}"
    elif meta["minimum"] is not None:
        text += f" of at least {_number(meta['minimum'])}"
    if _annotation(option) not in _LISTS:
        return text
    return f"a comma-separated list without repeats, each {'a text that is not blank' if text == 'text' else text}"


def to_text(value: Any) -> str:
    """A value as it is written on the command line."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10_000 else f"{value:g}"


def _is_choice(meta: Mapping[str, Any], item: Any) -> bool:
    return item in meta["choices"] or bool(meta["form"] and meta["form"].matches(item))


def _kind(option: Field) -> type:
    """Type of the option's value, or of its items."""
    return {**_KINDS, **_LISTS}[_annotation(option)]


def _annotation(option: Field) -> str:
    """The annotation as text, which it is already under `from __future__ import annotations`."""
    return option.type.__name__ if isinstance(option.type, type) else str(option.type)


def _scalar(kind: type, value: Any) -> Any:
    if value is None or isinstance(value, bool | dict | list):
        raise TypeError
    if kind is int:
        if isinstance(value, str):
            return int(value)
        if value != int(value):
            raise ValueError
    return kind(value)
