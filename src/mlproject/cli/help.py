"""The texts of `--help`."""

from __future__ import annotations

import dataclasses
import textwrap

from mlproject.cli.entry_points import CONFIG, ENTRY_POINTS, PRESET, EntryPoint, Parameter
from mlproject.config.schema import Config, load_config, option_help
from mlproject.options.declaration import options_by_heading
from mlproject.options.values import to_text

_INDENT = 24


def overview() -> str:
    """Help on all entry points."""
    return "\n".join(
        [
            "usage: python -m mlproject ENTRY_POINT [--option value ...]",
            "   or: mlflow run . --env-manager local -e ENTRY_POINT [-P option=value ...]",
            "",
            "Measures over-optimization of reward models, every run tracked in MLflow.",
            "",
            *(f"  {entry_point.name:<10} {entry_point.help}" for entry_point in ENTRY_POINTS.values()),
            "",
            "`python -m mlproject ENTRY_POINT --help` lists parameters and options.",
        ]
    )


def entry_point_help(entry_point: EntryPoint, preset: str) -> str:
    """Help on one entry point: its parameters, then the options that make a difference to it, in groups.

    Args:
        entry_point: the entry point.
        preset: whose values of the options are shown.

    Raises:
        UserError: for an unknown preset.
    """
    config = load_config(preset, {})
    lines = [
        f"usage: python -m mlproject {entry_point.name} [--option value ...]",
        "",
        f"{entry_point.name}: {entry_point.help}",
        "",
        *(line for parameter in (*entry_point.parameters, PRESET, CONFIG) for line in _parameter(parameter)),
    ]
    names = {field.name for group in entry_point.groups for field in dataclasses.fields(group)}
    everything = options_by_heading(Config)
    of_entry_point = {
        heading: [field for field in fields if field.name in names.union(entry_point.options)]
        for heading, fields in everything.items()
    }
    shown = {heading: fields for heading, fields in of_entry_point.items() if fields}
    for heading, fields in shown.items():
        lines += ["", f"{heading}:"]
        lines += [line for field in fields for line in _item(field.name, _option(config, field.name))]
    if shown:
        lines += ["", f"Defaults are those of preset {preset}; --help --preset NAME shows another's."]
    if shown != everything:
        lines.append("Options not listed here are accepted and make no difference; `main --help` lists them.")
    return "\n".join(lines)


def _option(config: Config, name: str) -> str:
    """What an option does, what its value must be, and its value in a preset."""
    return f"{option_help(name)} (default: {to_text(getattr(config, name)) or 'none'})"


def _parameter(parameter: Parameter) -> list[str]:
    default = "required" if parameter.default is None else f"default: {parameter.default or 'none'}"
    return _item(parameter.name, f"{parameter.help} ({default})")


def _item(name: str, text: str) -> list[str]:
    first, *rest = textwrap.wrap(text, 108 - _INDENT)
    if len(name) > _INDENT - 6:
        return [f"  --{name}", *(" " * _INDENT + line for line in (first, *rest))]
    return [f"  --{name:<{_INDENT - 5}} {first}", *(" " * _INDENT + line for line in rest)]
