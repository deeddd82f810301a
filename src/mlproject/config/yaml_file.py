"""YAML files that a user wrote, read with one-line errors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from mlproject.errors import UserError, first_line
from mlproject.options.paths import expanded
from mlproject.options.secrets import has_secret, remember

LARGEST = 2**20
"""Bytes of a YAML file that are read."""

_MOST_VALUES, _DEEPEST = 100_000, 50


def read_yaml(path: Path, option: str, form: str) -> Any:
    """The content of a YAML file.

    Args:
        path: path of the file.
        option: name of the option that gave the path.
        form: what such a file must contain, for the message.

    Raises:
        UserError: if the file cannot be read, is not YAML, names a key twice, or is a bomb.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{option}={path}: must be a regular file. Give the path of a YAML file.")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UserError(f"{option}={path}: must have at most {LARGEST // 2**20} MB. Give the path of a YAML file.")
        return yaml.load(content.decode("utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"{option}={path}: cannot be read ({reason}). Give the path of a YAML file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        why = f" ({error.problem})" if isinstance(error, _NotAllowed) else ""
        raise UserError(f"{option}={path}: is not valid YAML{where}{why}. {form}") from None
    except UserError:
        raise
    except RecursionError:
        raise UserError(f"{option}={path}: must not be nested so deeply. {form}") from None
    except ValueError as error:  # a path with a zero byte, a date that is none, a number of thousands of digits
        raise UserError(f"{option}={path}: cannot be read ({first_line(error)}). {form}") from None


class _NotAllowed(yaml.MarkedYAMLError):
    """YAML that would be read as something else than its writer sees."""


class _Loader(yaml.SafeLoader):
    """Plain values alone, every key once, and not more of them than people write, also by aliases of aliases."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _size(node, {}) > _MOST_VALUES:
            raise _NotAllowed(problem=f"it stands for more than {_MOST_VALUES:,} values", problem_mark=node.start_mark)
        return node

    def fetch_flow_collection_start(self, kind: type[yaml.Token]) -> None:
        if self.flow_level >= _DEEPEST:
            raise _NotAllowed(problem="it is nested too deeply", problem_mark=self.get_mark())
        super().fetch_flow_collection_start(kind)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    raise _NotAllowed(problem=f"it has {key.value} twice", problem_mark=key.start_mark)
                names.add(key.value)
        return super().construct_mapping(node, deep)


def _size(node: yaml.Node, known: dict[int, float]) -> float:
    """Number of values that a node stands for; infinite where it holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = math.inf
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def read_options(path: str) -> dict[str, Any]:
    """The options in a user's configuration file.

    Raises:
        UserError: if it cannot be read, or holds anything but options.
    """
    form = "It must have lines of the form `option: value`."
    content = read_yaml(expanded(path), "config", form)
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
