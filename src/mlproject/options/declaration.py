"""How an option is declared, and which options a class has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field
from typing import Any, ClassVar, NamedTuple, Self


class Form(NamedTuple):
    """A form of text that an option accepts beside its choices.

    Attributes:
        name: what such a text is, for people.
        matches: whether a text has this form.
    """

    name: str
    matches: Callable[[str], bool]


class BrokenRule(NamedTuple):
    """A value that does not go with the other options.

    Attributes:
        option: name of the option to blame.
        must: what must hold, after "must".
        action: what the user can do about it, a whole sentence.
    """

    option: str
    must: str
    action: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """A group of options: a frozen dataclass whose fields are declared by `option`.

    Attributes:
        HEADING: title of the group in `--help` and in the printed configuration.
    """

    HEADING: ClassVar[str] = ""

    @classmethod
    def among(cls, options: Mapping[str, Any]) -> Self:
        """Those among other options, by name; the others have their defaults."""
        return cls(**{each.name: options[each.name] for each in dataclasses.fields(cls) if each.name in options})


def option(
    help: str,
    *,
    default: Any = MISSING,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    form: Form | None = None,
    allow_empty: bool = False,
    heading: str = "",
) -> Any:
    """Declare an option: a field of type int, float, str, or a tuple of one of these.

    Args:
        help: one line for people.
        default: value that no preset needs to name.
        minimum: smallest value; of every item if the option is a tuple.
        maximum: largest value, likewise.
        choices: the values that are allowed, likewise.
        form: a form of text that is allowed beside the choices.
        allow_empty: whether a tuple may have no items.
        heading: title of another group under which the option is shown; empty: the heading of its class.
    """
    metadata = {
        "help": help, "minimum": minimum, "maximum": maximum, "choices": choices, "form": form,
        "allow_empty": allow_empty, "heading": heading,
    }  # fmt: skip
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def shared_option(group: type[Options], name: str) -> Any:
    """Declare an option that another group has too: one option, shown under the heading of the group that has it first.

    Args:
        group: declares the option, or inherits it.
        name: of the option.
    """
    original = {field.name: field for field in dataclasses.fields(group)}[name]
    first = next(each for each in reversed(group.__mro__) if name in vars(each).get("__annotations__", {}))
    heading = original.metadata["heading"] or vars(first).get("HEADING", "")
    return field(default=original.default, metadata={**original.metadata, "heading": heading})


def options_by_heading(cls: type[Options]) -> dict[str, list[Field]]:
    """The options of a class and of the groups that it inherits from, by heading, in the order of declaration."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    groups: dict[str, list[Field]] = {}
    for group in cls.__mro__:
        for name in vars(group).get("__annotations__", {}):
            if name in fields:
                option = fields.pop(name)  # of several groups that share it, the first shows it
                groups.setdefault(option.metadata["heading"] or getattr(group, "HEADING", ""), []).append(option)
    return groups
