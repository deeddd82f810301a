"""Scores that are known, by a digest of what was scored and by what: in memory, in a file, or nowhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mlproject.errors import UserError
from mlproject.options.paths import expanded
from mlproject.rewards.options import IN_MEMORY, NO_CACHE

_MOST = 2_000_000
"""Scores that are kept in memory; some 250 MB."""
_AT_A_TIME = 500
"""Keys of one query."""
_WAIT_SECONDS = 60
_KNOWN = "SELECT key, score FROM scores WHERE typeof(score) = 'real' AND abs(score) < 1e308 AND key IN"


class ScoreCache(Protocol):
    """Keeps scores by their keys."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        """The scores that are known."""
        ...

    def put(self, scores: Mapping[bytes, float]) -> None:
        """Keep scores."""
        ...


def open_cache(option: str) -> ScoreCache:
    """The cache that the option `scorer_cache` names.

    Raises:
        UserError: for a file that cannot be such a cache.
    """
    if option == NO_CACHE:
        return NoCache()
    return MemoryCache() if option == IN_MEMORY else FileCache(expanded(option))


class NoCache:
    """Keeps nothing."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        return {}

    def put(self, scores: Mapping[bytes, float]) -> None:
        return None


class MemoryCache:
    """Keeps scores as long as the scorer lives; the oldest leave when there are too many."""

    def __init__(self) -> None:
        self._scores: dict[bytes, float] = {}

    def get(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        return {key: self._scores[key] for key in keys if key in self._scores}

    def put(self, scores: Mapping[bytes, float]) -> None:
        self._scores.update(scores)
        while len(self._scores) > _MOST:
            del self._scores[next(iter(self._scores))]


class FileCache:
    """Keeps scores in an SQLite file, which several processes may use at a time.

    Args:
        path: of the file; its folder must exist. What is no finite number in it counts as unknown.

    Raises:
        UserError: if it cannot be written, or is another file or the database of another program.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._connection() as connection:
            if set(connection.execute("SELECT type, name FROM sqlite_master")) - {("table", "scores")}:
                raise sqlite3.DatabaseError("it holds more than scores")
            connection.execute("CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, score REAL) WITHOUT ROWID")

    def get(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        found: dict[bytes, float] = {}
        with self._connection() as connection:
            for start in range(0, len(keys), _AT_A_TIME):
                part = keys[start : start + _AT_A_TIME]
                marks = ",".join("?" * len(part))
                found.update(connection.execute(f"{_KNOWN} ({marks})", part))
        return found

    def put(self, scores: Mapping[bytes, float]) -> None:
        with self._connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", scores.items())

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self._path, timeout=_WAIT_SECONDS)
            try:
                with connection:
                    yield connection
            finally:
                connection.close()
        except (sqlite3.Error, ValueError) as error:  # ValueError: a path that none can be
            raise UserError(
                f"scorer_cache={self._path}: must be memory, none, or a file that this command can write scores to "
                f"({error}). Name another file, in a folder that exists."
            ) from None
