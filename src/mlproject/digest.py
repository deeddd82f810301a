"""The digest of files: equal names with equal contents, and nothing else, give equal digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest_of_files(root: Path, files: Iterable[Path]) -> str:
    """SHA-256 over names (below a root) and contents of files, in the order of their paths; folders are passed over."""
    total = hashlib.sha256()
    for path in sorted(files):
        if path.is_file():
            total.update(f"{path.relative_to(root).as_posix()}\0".encode())
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
