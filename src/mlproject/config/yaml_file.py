"""YAML files that a user wrote, read with one-line errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mlproject.errors import UserError
from mlproject.options.secrets import has_secret, remember


def read_yaml(path: Path, option: str, form: str) -> Any:
    """The content of a YAML file.

    Args:
        path: path of the file.
        option: name of the option that gave the path.
        form: what such a file must contain, for the message.

    Raises:
        UserError: if the file cannot be read or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"{option}={path}: cannot be read ({reason}). Give the path of a YAML file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise UserError(f"{option}={path}: is not valid YAML{where}. {form}") from None


def read_options(path: str) -> dict[str, Any]:
    """The options in a user's configuration file.

    Raises:
        UserError: if it cannot be read, or holds anything but options.
    """
    form = "It must have lines of the form `option: value`."
    content = read_yaml(Path(path).expanduser(), "config", form)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"config={path}: holds a {type(content).__name__}. {form}")
    options = {str(name): value for name, value in content.items()}
    for name, value in options.items():
        if name != "storage" and has_secret(str(value)):
            raise UserError(f"config={path}: {name}: must not hold a password or token. Give an address without it.")
    remember(map(str, options.values()))
    return options
