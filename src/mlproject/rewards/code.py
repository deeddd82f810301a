"""The digest of the code that a user's function depends on: its file, and those of the user's own that it imports."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

_LIBRARIES = tuple(
    str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
"""Where Python and installed packages lie."""


def source_digest(module: str) -> str:
    """SHA-256 of a module's file, together with those of the user's own modules that it imports, over others too.

    Modules of Python and of installed packages are left out: their versions are not the user's code. What a module
    reads at run time (weights, a service, environment variables) is not part of it either.

    Args:
        module: full name of a module that has been imported.

    Returns:
        of a module that imports none of the user's own, the digest of its file; empty where no module has a file.
    """
    files = {name: path.read_bytes() for name, path in _files(module)}
    if len(files) <= 1:
        return hashlib.sha256(next(iter(files.values()))).hexdigest() if files else ""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def _files(module: str) -> Iterator[tuple[str, Path]]:
    """Names and files of the modules; each once."""
    seen, todo = set[str](), [module]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _file(name)
        if path is None or (name != module and _is_library(path)):
            continue
        yield name, path
        if path.suffix == ".py":
            todo += _imports(name, path)


def _file(name: str) -> Path | None:
    """The file of a module; None if there is none, or no such module."""
    try:
        found = sys.modules[name].__file__ if name in sys.modules else getattr(find_spec(name), "origin", None)
    except (AttributeError, ImportError, ValueError):
        return None
    return Path(found) if found and Path(found).is_file() else None


def _is_library(path: Path) -> bool:
    resolved = path.resolve()
    return "site-packages" in resolved.parts or str(resolved).startswith(_LIBRARIES)


def _imports(module: str, path: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in it: modules, and names that may be modules."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    is_package = path.name == "__init__.py"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, *([base] if base else [])])
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
