"""A lock between processes of one machine, by a file that is there as long as somebody holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def file_lock(path: Path, waits: bool = True) -> Iterator[bool]:
    """Held by one process at a time, and by none that has ended; on a disk that knows no locks, by anybody.

    Args:
        path: of the lock's own file, which is removed at the end.
        waits: whether it is waited for where another process holds it.

    Yields:
        whether it is held; False only where another process has it and nobody waits.
    """
    descriptor = _taken(path, waits)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _taken(path: Path, waits: bool) -> int | None:
    """Descriptor of the file, locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:  # a file system without locks
            pass
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # whoever held it has removed the file
