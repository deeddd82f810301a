from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlproject.samples.pool import Choice, ScoredPool
from mlproject.samples.read import read_samples


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., ScoredPool]:
    """Reads a table that it writes to a file first."""

    def of(
        table: pd.DataFrame | list[dict[str, Any]], asked: dict[str, str] | None = None, **choice: Any
    ) -> ScoredPool:
        frame = pd.DataFrame(table)
        frame.to_parquet(tmp_path / "table.parquet")
        return read_samples(tmp_path / "table.parquet", asked or {}, Choice(**choice))

    return of
