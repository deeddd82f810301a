"""Lists of English words and phrases that mark a manner of speaking, one text file each, for any world.

A line is a phrase; a line that starts with `#` is a comment. The help desk has lists of its own in `lexicon.yaml`,
since its vocabulary is too small for these.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files


@lru_cache(maxsize=1)
def phrase_lists() -> Mapping[str, tuple[str, ...]]:
    """Every list, by the name of its statistic (`hedges`, `stock-phrases`, ...)."""
    paths = sorted((file for file in files(__package__).iterdir() if file.name.endswith(".txt")), key=lambda f: f.name)
    return {
        file.name.removesuffix(".txt").replace("_", "-"): tuple(
            line.strip()
            for line in file.read_text(encoding="utf-8").splitlines()
            if line.strip() and not line.startswith("#")
        )
        for file in paths
    }
