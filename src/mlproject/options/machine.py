"""What a machine may fail to give: memory, room on its disks, a database that can be written, a server that answers."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from mlproject.errors import MachineError, text_of

_FULL = "the disk is full", "Make room"
_CLOSED = "a file or database cannot be written", "Let this user write there, or name another place"
_AWAY = "the tracking server does not answer"
_MEMORY = "memory ran out", "Set workers or batch sizes lower, or give the machine more"
_BY_TEXT = {
    "No space left on device": _FULL,
    "database or disk is full": _FULL,
    "Disk quota exceeded": _FULL,
    "File too large": _FULL,
    "database is locked": ("another process kept the database locked for too long", "End that process"),
    "readonly database": _CLOSED,
    "Read-only file system": _CLOSED,
    "unable to open database file": _CLOSED,
    "disk I/O error": _CLOSED,
    "Cannot allocate memory": _MEMORY,
    "can't allocate memory": _MEMORY,
    "out of memory": _MEMORY,
    "API request to http": (_AWAY, "Start it, or wait until it can be reached"),
    "Too many open files": ("too many files are open", "Raise the limit (ulimit -n), or set workers lower"),
}
"""What happened and what to do, by what an error says in whatever library it comes from."""

_BY_NUMBER = {errno.EACCES: _CLOSED, errno.EPERM: _CLOSED, errno.EIO: _CLOSED}
_LONGEST_REASON = 300


def machine_error(error: BaseException) -> MachineError | None:
    """What an unexpected error is about, if it is about the machine; None for any other.

    Args:
        error: with the errors that led to it, and notes of the process that it comes from.
    """
    for each in _chain(error):
        text = text_of(each)
        found = _MEMORY if isinstance(each, MemoryError) else None
        found = found or (_BY_NUMBER.get(each.errno or 0) if isinstance(each, OSError) else None)
        said = "\n".join([text, *getattr(each, "__notes__", [])])
        found = found or next((answer for words, answer in _BY_TEXT.items() if words in said), None)
        if found:
            what, remedy = found
            line = next((line for line in said.splitlines() if any(words in line for words in _BY_TEXT)), text)
            return MachineError(
                f"{what} ({line.strip()[:_LONGEST_REASON] or type(each).__name__}). {remedy}, and run the same command "
                "again: it continues."
            )
    return None


def is_away(error: BaseException) -> bool:
    """Whether an error says that the tracking server does not answer, after MLflow has asked for minutes."""
    return str(machine_error(error) or "").startswith(_AWAY)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
