"""What sets the members of an ensemble apart: seeds, resampled comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mlproject.config.schema import Config
from mlproject.cures import Cure
from mlproject.cures.options import BY_BOOTSTRAP
from mlproject.pipeline.loading import numpy_generator


def variants(config: Config, cures: Sequence[Cure], seed: int, count: int) -> list[dict[str, Any]]:
    """Keyword arguments of `proxy_rm` for each member, beside size and seed: empty, or its `variant`."""
    if count > 1 and config.ensemble_by == BY_BOOTSTRAP:
        return [{"variant": {"resampled": True}}] * count
    return [{}] * count


def trained_on(table: pd.DataFrame, params: Mapping[str, Any]) -> pd.DataFrame:
    """The comparisons that a proxy RM learns from: all of them, or for a member by bootstrap as many, drawn with
    replacement (Breiman 1996, Bagging predictors)."""
    if not params.get("resampled"):
        return table
    rows = numpy_generator("bootstrap of comparisons", params["seed"]).integers(len(table), size=len(table))
    return table.iloc[rows].reset_index(drop=True)
