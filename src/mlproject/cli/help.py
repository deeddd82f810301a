"""The texts of `--help`."""

from __future__ import annotations

import dataclasses
import textwrap

from mlproject.cli.entry_points import CONFIG, ENTRY_POINTS, PRESET, EntryPoint, Parameter
from mlproject.config.schema import Config, option_help
from mlproject.options.declaration import options_by_heading

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


def entry_point_help(entry_point: EntryPoint) -> str:
    """Help on one entry point: its parameters, then the options that make a difference to it, in groups."""
    lines = [
        f"usage: python -m mlproject {entry_point.name} [--option value ...]",
        "",
        f"{entry_point.name}: {entry_point.help}",
        "",
        *(line for parameter in (*entry_point.parameters, PRESET, CONFIG) for line in _parameter(parameter)),
    ]
    names = {field.name for group in entry_point.groups for field in dataclasses.fields(group)}
    everything = options_by_heading(Config)
    shown = {heading: fields for heading, fields in everything.items() if any(field.name in names for field in fields)}
    for heading, fields in shown.items():
        lines += ["", f"{heading}:"]
        lines += [line for field in fields for line in _item(field.name, option_help(field.name))]
    lines += ["", "The preset gives every option a value; `python -m mlproject config --preset NAME` prints them all."]
    if len(shown) < len(everything):
        lines.append("Options not listed here are accepted and make no difference; `main --help` lists them.")
    return "\n".join(lines)


def _parameter(parameter: Parameter) -> list[str]:
    default = "required" if parameter.default is None else f"default: {parameter.default or 'none'}"
    return _item(parameter.name, f"{parameter.help} ({default})")


def _item(name: str, text: str) -> list[str]:
    first, *rest = textwrap.wrap(text, 108 - _INDENT)
    if len(name) > _INDENT - 6:
        return [f"  --{name}", *(" " * _INDENT + line for line in (first, *rest))]
    return [f"  --{name:<{_INDENT - 5}} {first}", *(" " * _INDENT + line for line in rest)]
