"""Paths that users give: a name that is none, or far too long, is a file that is not there."""

from __future__ import annotations

from pathlib import Path


def is_there(path: str | Path) -> bool:
    """Whether there is a file or folder of this name, rather than a pipe or a device, which may never end."""
    try:
        return Path(path).is_file() or Path(path).is_dir()
    except (OSError, ValueError):
        return False


def exists(path: str | Path) -> bool:
    """Whether there is anything of this name."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder of this name."""
    return is_there(path) and Path(path).is_dir()


def expanded(path: str | Path) -> Path:
    """A path whose `~` stands for a home, where there is such a user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
