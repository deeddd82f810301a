"""One option of the configuration: how it is declared, read from a text, checked and explained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, field
from pathlib import Path
from typing import Any

from mlproject.config.yaml_file import read_yaml
from mlproject.errors import UserError
from mlproject.models.sizes import is_checkpoint

_KINDS: dict[str, type] = {"int": int, "float": float, "str": str}
_LISTS = {f"tuple[{name}, ...]": kind for name, kind in _KINDS.items()}


def option(
    help: str,
    *,
    default: Any = MISSING,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    allow_empty: bool = False,
    allow_checkpoint: bool = False,
) -> Any:
    """Declare a field of type int, float, str, or a tuple of these.

    Args:
        help: one line for people.
        default: where the presets need not say it.
        minimum, maximum, choices: what is allowed, of every item where it is a tuple.
        allow_empty: of a tuple.
        allow_checkpoint: beside the choices, a model's folder or hub name.
    """
    metadata = {
        "help": help, "minimum": minimum, "maximum": maximum, "choices": choices, "allow_empty": allow_empty,
        "allow_checkpoint": allow_checkpoint,
    }  # fmt: skip
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def convert(option: Field, value: Any) -> Any:
    """A value from YAML or the command line in the option's type.

    Raises:
        UserError: for a value that does not convert.
    """
    if value is False and "no" in (option.metadata["choices"] or ()):
        value = "no"  # YAML reads a bare no as false
    if value is True and "yes" in (option.metadata["choices"] or ()):
        value = "yes"
    try:
        if option.type not in _LISTS:
            return _scalar(_kind(option), value)
        if value == "":
            return ()
        parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        return tuple(_scalar(_kind(option), part.strip() if isinstance(part, str) else part) for part in parts)
    except (ValueError, TypeError, OverflowError):
        raise UserError(f"{option.name}={to_text(value)}: allowed is {requirement(option)}") from None


def check(option: Field, value: Any) -> None:
    """Refuse what is not allowed.

    Raises:
        UserError: for a value out of range, an empty list, or one that repeats itself.
    """
    items = value if isinstance(value, tuple) else (value,)
    meta = option.metadata
    refused = (
        (not items and not meta["allow_empty"])
        or len(set(items)) != len(items)
        or any(isinstance(item, float) and not math.isfinite(item) for item in items)
        or (meta["choices"] and any(not _is_choice(meta, item) for item in items))
        or (meta["minimum"] is not None and any(item < meta["minimum"] for item in items))
        or (meta["maximum"] is not None and any(item > meta["maximum"] for item in items))
    )
    if refused:
        raise UserError(f"{option.name}={to_text(value)}: allowed is {requirement(option)}")


def requirement(option: Field) -> str:
    """What is allowed, in words."""
    meta = option.metadata
    words = {int: "a whole number", float: "a number", str: "a text"}[_kind(option)]
    if meta["choices"]:
        words = "one of " + ", ".join(meta["choices"])
        words += ", or a checkpoint (./FOLDER or OWNER/NAME)" if meta["allow_checkpoint"] else ""
    elif meta["minimum"] is not None and meta["maximum"] is not None:
        words += f" from {meta['minimum']:g} to {meta['maximum']:g}"
    elif meta["minimum"] is not None:
        words += f" of at least {meta['minimum']:g}"
    return f"a comma-separated list without repeats, each {words}" if option.type in _LISTS else words


def to_text(value: Any) -> str:
    """A value as the command line would have it."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def read_options(path: str) -> dict[str, Any]:
    """The user's own file of lines `option: value`.

    Raises:
        UserError: where it cannot be read as that.
    """
    content = read_yaml(Path(path).expanduser(), "config", "give lines of the form `option: value`")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"config={path}: holds a {type(content).__name__}; give lines of the form `option: value`")
    return {str(name): value for name, value in content.items()}


def _is_choice(meta: Mapping[str, Any], item: Any) -> bool:
    return item in meta["choices"] or (meta["allow_checkpoint"] and is_checkpoint(item))


def _kind(option: Field) -> type:
    """Type of the option's value, or of its items; the annotations are texts here."""
    return {**_KINDS, **_LISTS}[str(option.type)]


def _scalar(kind: type, value: Any) -> Any:
    if value is None or isinstance(value, bool | dict | list):
        raise TypeError
    if kind is int:
        if isinstance(value, str):
            return int(value)
        if value != int(value):
            raise ValueError
    return kind(value)
