"""A folder that holds the states of one step on disk: each file whole or absent, whenever the power fails.

A file is written under a temporary name, flushed to the disk and renamed; then the folder is flushed. Its name has a
number, which says which file is newer, and a digest of its content: a file that a disk has damaged is passed over for
the one before it. The content is safetensors with JSON in its header, so nothing is ever executed by reading it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mlproject.resume.state import State
from mlproject.strict_json import strict_json

_FORMAT = "2"
"""Changed when states of an earlier release can no longer be read."""

_NAME = re.compile(r"(?P<name>\w[\w-]*)\.(?P<number>\d{6})\.(?P<digest>[0-9a-f]{16})\.safetensors")
_UNFINISHED = ".unfinished"
_KEPT = 2
"""States of one name that are kept: the newest, and the one before it in case that is damaged."""


class StateFolder:
    """The states of one step, by name; of each name the newest counts.

    Args:
        path: the folder; it is made when the first state is written.
        owner: what the states belong to, such as the fingerprint of a step; states of another owner are passed over.
    """

    def __init__(self, path: Path, owner: str) -> None:
        self.path, self._owner = path, owner

    def write(self, name: str, state: State) -> Path:
        """Write a state, durably; then remove those that are no longer needed.

        Args:
            name: letters, digits, `_` and `-`.
            state: to be written.

        Returns:
            the file.

        Raises:
            OSError: where the disk is full or cannot be written; the states before stay as they are.
        """
        _make(self.path)
        self._remove_unfinished()
        before = self._files(name)
        number = max((int(_parsed(path)["number"]) for path in before), default=0) + 1
        unfinished = self.path / f"{name}.{secrets.token_hex(4)}{_UNFINISHED}"  # no other process writes into it
        header = {"format": _FORMAT, "owner": self._owner, "values": strict_json(state.values)}
        try:
            save_file({key: _plain(tensor) for key, tensor in state.tensors.items()}, unfinished, header)
            _flush(unfinished)
            final = self.path / f"{name}.{number:06d}.{_digest(unfinished)}.safetensors"
            unfinished.replace(final)
            _flush(self.path)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise error if isinstance(error, OSError) else OSError(str(error)) from None
        for path in before[_KEPT - 1 :]:
            path.unlink(missing_ok=True)
        return final

    def read(self, name: str) -> State | None:
        """The newest whole state of a name; None where there is none."""
        for path in self._files(name):
            if (state := self._read(path)) is not None:
                return state
        return None

    def settle(self, is_ending: bool = False) -> None:
        """Called when all that belongs together is written; a folder that is kept elsewhere too takes it there.

        Args:
            is_ending: whether this process ends.
        """

    def files(self) -> list[Path]:
        """All whole states."""
        return [path for path in _children(self.path) if self.is_state(path.name)]

    def is_state(self, name: str) -> bool:
        """Whether a file of this name is a state."""
        return _NAME.fullmatch(name) is not None

    def make(self) -> None:
        """Make the folder, durably."""
        _make(self.path)

    def remove(self) -> None:
        """Remove all states, and the folder around them where no other step has states there."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            self.path.parent.rmdir()

    def _files(self, name: str) -> list[Path]:
        """The files of a name, the newest first."""
        found = [
            path for path in _children(self.path) if (match := _NAME.fullmatch(path.name)) and match["name"] == name
        ]
        return sorted(found, key=lambda path: int(_parsed(path)["number"]), reverse=True)

    def _read(self, path: Path) -> State | None:
        try:
            if not path.is_file() or _digest(path) != _parsed(path)["digest"]:
                return None
            with safe_open(path, "pt") as file:
                header = file.metadata() or {}
                if header.get("format") != _FORMAT or header.get("owner") != self._owner:
                    return None
                values = json.loads(header["values"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return State(tensors, values) if isinstance(values, dict) else None
        except (OSError, SafetensorError, ValueError, KeyError, RecursionError):
            return None

    def _remove_unfinished(self) -> None:
        for path in _children(self.path):
            if path.name.endswith(_UNFINISHED):
                path.unlink(missing_ok=True)


def _plain(tensor: Tensor) -> Tensor:
    """A tensor with memory of its own, as safetensors wants it: the output layer of a model is often its embedding."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _children(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from folder.iterdir()


def _parsed(path: Path) -> re.Match[str]:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return match


def _make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _flush(folder.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
