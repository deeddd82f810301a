"""Options written as YAML with comments, ready to be edited and read back."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

from mlproject.options.declaration import Options, options_by_heading
from mlproject.options.values import requirement

WIDTH = 100


def commented_yaml(options: Options, header: str) -> str:
    """All options and their values, grouped, each with what it does and what its value must be.

    Args:
        options: whose values are written.
        header: text at the top, as comments; its lines are kept.
    """
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    for heading, fields in options_by_heading(type(options)).items():
        lines += ["", f"# ---- {heading} ".ljust(WIDTH, "-")]
        for field in fields:
            help = f"{field.metadata['help']} [{requirement(field)}]"
            lines += ["", *textwrap.wrap(help, WIDTH, initial_indent="# ", subsequent_indent="#   ")]
            lines.append(_line(field.name, getattr(options, field.name)))
    return "\n".join(lines) + "\n"


def _line(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        items = yaml.safe_dump(list(value), default_flow_style=True, allow_unicode=True, width=float("inf"))
        return f"{name}: {items.strip()}"
    text: str = yaml.safe_dump({name: value}, default_flow_style=False, allow_unicode=True, width=float("inf"))
    return text.strip()
