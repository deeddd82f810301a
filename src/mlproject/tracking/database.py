"""SQLite databases that are whole or not there: made aside under a lock, and renamed when whole.

MLflow makes a database in some sixty steps that are committed apart, Optuna in three. Where a kill ends that, or two
first commands do it side by side, what is left can neither be used nor continued.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from mlproject.file_lock import file_lock

Database = sqlite3.Connection

_COMPANIONS = ("-journal", "-wal", "-shm")
_SETTLED_SECONDS = 5.0
"""A database that is not whole is left alone until nothing has changed it for this long: somebody may be making it."""


def ensure_database(path: Path, make: Callable[[str], None], is_half_made: Callable[[Database], bool]) -> None:
    """Make a SQLite database unless there is one; of several processes one makes it, and the others wait.

    A half-made one that holds nothing, as a killed process of another program may leave it, is replaced.

    Args:
        path: of the database; its folder exists.
        make: makes the database of a URL, and closes it.
        is_half_made: whether a database was left half made and holds nothing that anybody put into it. Nothing else is
            ever replaced.

    Raises:
        Exception: what `make` raises; nothing is left at `path` then.
    """
    if _is_there(path, is_half_made):
        return
    with file_lock(Path(f"{path}.lock")):
        if not _is_there(path, is_half_made, patient=True):
            if path.exists():
                print(
                    f"mlproject: {path} was left half made, by a command that was killed at its start, and holds "
                    "nothing. It is made anew.",
                    file=sys.stderr,
                )
            _make(path, make)


def remaining_tables(database: Database, known: frozenset[str]) -> set[str]:
    """Tables of a database, but for some that hold no more than its maker puts into them, that have rows."""
    names = table_names(database) - known
    return {name for name in names if database.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()}


def table_names(database: Database) -> set[str]:
    """Names of the tables of a database."""
    rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {name for (name,) in rows}


def _is_there(path: Path, is_half_made: Callable[[Database], bool], patient: bool = False) -> bool:
    """Whether there is a database to be used.

    Args:
        path: of the database.
        is_half_made: see `ensure_database`.
        patient: wait for one that is not whole, as long as it changes.
    """
    seen, since = _state(path), time.monotonic()
    while path.exists():
        try:
            with closing(sqlite3.connect(path, timeout=20)) as database:
                if not is_half_made(database):
                    return True
        except sqlite3.Error:  # not a database, or locked: for its owner to say
            return True
        age = time.monotonic() - since if (state := _state(path)) == seen else 0.0
        if not patient or age > _SETTLED_SECONDS or time.time() - seen[0] > _SETTLED_SECONDS:
            return False
        if state != seen:
            seen, since = state, time.monotonic()
        time.sleep(0.1)
    return False


def _state(path: Path) -> tuple[float, int]:
    """When a database changed last, and its size."""
    newest, size = 0.0, 0
    for file in (path, *(Path(f"{path}{companion}") for companion in _COMPANIONS)):
        with suppress(FileNotFoundError):
            newest, size = max(newest, file.stat().st_mtime), size + file.stat().st_size
    return newest, size


def _make(path: Path, make: Callable[[str], None]) -> None:
    new = path.with_name(f"{path.name}.making-{os.getpid()}")
    _remove_unfinished(path)  # of makers that were killed
    try:
        make(f"sqlite:///{new}")
        for companion in ("", *_COMPANIONS):
            Path(f"{path}{companion}").unlink(missing_ok=True)
        new.replace(path)
    finally:
        _remove_unfinished(path)


def _remove_unfinished(path: Path) -> None:
    for file in list(path.parent.iterdir()):
        if file.name.startswith(f"{path.name}.making-"):
            file.unlink(missing_ok=True)
