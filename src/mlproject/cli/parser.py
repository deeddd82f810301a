"""Reads the command line. Imports nothing heavy: help and mistakes are answered at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlproject.cli.entry_points import CONFIG, ENTRY_POINTS, PRESET, EntryPoint
from mlproject.cli.help import entry_point_help, overview
from mlproject.config.schema import Config, load_config, option_names
from mlproject.errors import UserError

_LONGEST_NUMBER = 9  # digits


@dataclass(frozen=True)
class Command:
    """A parsed command line.

    Attributes:
        entry_point: what to run.
        config: preset, the user's file and the options, combined.
        arguments: values of the entry point's own parameters, `preset` and `config`, by name.
        preset: name of the preset.
        options: options on the command line, as texts.
    """

    entry_point: EntryPoint
    config: Config
    arguments: dict[str, str]
    preset: str
    options: dict[str, str] = field(default_factory=dict)

    def configure(self, preset: str, experiment_options: Mapping[str, Any]) -> Config:
        """The configuration with another preset, whose values an experiment's options override."""
        return load_config(preset, self.options, self.arguments["config"] or None, experiment_options)

    def flag(self, name: str) -> bool:
        """The value of a parameter that is true or false.

        Raises:
            UserError: for any other value.
        """
        value = self.arguments[name]
        if value not in ("true", "false"):
            raise UserError(f"{name}={value}: must be true or false.")
        return value == "true"

    def number(self, name: str) -> float:
        """The value of a parameter that is a number.

        Raises:
            UserError: for any other value.
        """
        try:
            return float(self.arguments[name])
        except ValueError:
            raise UserError(f"{name}={self.arguments[name]}: must be a number.") from None

    def whole_number(self, name: str) -> int:
        """The value of a parameter that is a whole number of at least 0, or empty for 0.

        Raises:
            UserError: for any other value.
        """
        text = self.arguments[name] or "0"
        if not text.isdecimal() or len(text) > _LONGEST_NUMBER:
            raise UserError(f"{name}={self.arguments[name]}: must be a whole number of at least 0.")
        return int(text)


def parse_command_line(words: Sequence[str]) -> Command | None:
    """Read `ENTRY_POINT --name value --name=value ...`.

    Returns:
        the command; None if help was asked for (and printed).

    Raises:
        UserError: for anything that is not a valid command.
    """
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return None
    name, *rest = words
    if name not in ENTRY_POINTS:
        close = difflib.get_close_matches(name, ENTRY_POINTS, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UserError(f"entry point {name!r}: must be one of {', '.join(ENTRY_POINTS)}.{hint}")
    entry_point = ENTRY_POINTS[name]
    if "-h" in rest or "--help" in rest:
        print(entry_point_help(entry_point, _preset_among(rest)))
        return None
    parameters = (PRESET, CONFIG, *entry_point.parameters)
    options = _pairs(rest, {parameter.name for parameter in parameters if parameter.is_switch})
    arguments: dict[str, str] = {}
    for parameter in parameters:
        value = options.pop(parameter.name, parameter.default)
        if value is None or (value == "" and parameter.default != ""):
            raise UserError(
                f"{parameter.name}: must be given, {entry_point.name} needs it. "
                f"Add --{parameter.name} VALUE ({parameter.help})."
            )
        arguments[parameter.name] = value
    for name in set(options) - set(option_names()):
        close = difflib.get_close_matches(name, [*(parameter.name for parameter in parameters), *option_names()], n=1)
        if close:
            raise UserError(f"--{name}: is not an option. Did you mean --{close[0]}?")
    preset = arguments["preset"]
    implied = entry_point.implied(arguments) if entry_point.implied else None
    config = load_config(preset, options, arguments["config"] or None, implied)
    return Command(entry_point, config, arguments, preset, options)


def _preset_among(words: Sequence[str]) -> str:
    """The preset that a command line with `--help` names, or else the default one."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name == f"--{PRESET.name}" and (equals or (following and not following.startswith("-"))):
            return value if equals else following
    return PRESET.default or ""


def _pairs(words: Sequence[str], switches: set[str]) -> dict[str, str]:
    """Values by name. A switch may stand alone: `--dry-run` is `--dry_run true`."""
    pairs: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            raise UserError(f"{word!r}: options must have the form --name value. See --help.")
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if not equals:
            if name in switches and (not rest or rest[0].startswith("--")):
                rest.insert(0, "true")
            if not rest:
                raise UserError(f"--{name}: must have a value. Write --{name} VALUE.")
            value = rest.pop(0)
        if name in pairs:
            raise UserError(f"--{name}: must be given once, but was given twice. Remove one.")
        pairs[name] = value
    return pairs
