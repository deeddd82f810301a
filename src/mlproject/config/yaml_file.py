"""Reads what a user wrote as YAML, and says in one line what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mlproject.errors import UserError


def read_yaml(path: Path, given: str, form: str) -> Any:
    """The content of a YAML file.

    Args:
        path: of the file.
        given: the option that named it.
        form: what such a file looks like, for the message.

    Raises:
        UserError: where it cannot be read, or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"{given}={path}: cannot be read ({reason}); give the path of a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise UserError(f"{given}={path}: is not valid YAML{where}; {form}") from None
