"""How far forecasts of a peak are off: from the curves of other reward models and a part of the way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlproject.curve import Curve
from mlproject.experiments.findings.evidence import peak_is_inside
from mlproject.experiments.results import Cell
from mlproject.laws import Prediction, Prior
from mlproject.optimization import find_method


def prior_without(cells: Sequence[Cell], left_out: str) -> Prior:
    """The prior of an RM size from the curves of all other sizes."""
    others: dict[int, list[Curve]] = {}
    for cell in cells:
        if cell.settings["rm_size"] != left_out:
            others.setdefault(cell.settings["rm_params"], []).append(cell.curve)
    params = next(cell.settings["rm_params"] for cell in cells if cell.settings["rm_size"] == left_out)
    return Prior.from_curves(find_method(cells[0].settings["method"]), others, params)


def last_before(curve: Curve, share: float) -> int:
    """Index of the last point within a share of the way to the highest gold, in KL."""
    kl = float(curve.kl_S[curve.gold_S.argmax()])
    return int(np.flatnonzero(curve.kl_S <= max(share * kl, curve.kl_S.min()))[-1])


def forecast_errors(cells: Sequence[Cell], predictions: Sequence[Prediction]) -> pd.DataFrame:
    """One row per curve with a measured peak: relative errors of a prediction.

    Args:
        cells: the runs.
        predictions: one of each run.

    Raises:
        ValueError: where no curve has a measured peak.
    """
    rows = []
    for cell, at in zip(cells, predictions, strict=True):
        curve = cell.curve
        if not peak_is_inside(curve):
            continue
        kl, gold = float(curve.kl_S[curve.gold_S.argmax()]), curve.peak().gold
        rows.append(
            {
                "RM size": cell.settings["rm_size"],
                "peak KL": kl,
                "predicted KL": at.peak_kl,
                "KL error": at.peak_kl / kl - 1,
                "KL covered": at.peak_kl_interval[0] <= kl <= at.peak_kl_interval[1],
                "peak gold": gold,
                "predicted gold": at.peak_gold,
                "gold error": at.peak_gold / gold - 1,
                "gold covered": at.peak_gold_interval[0] <= gold <= at.peak_gold_interval[1],
                "gold responses": at.gold_responses,
            }
        )
    if not rows:
        raise ValueError("no curve peaks before its last point")
    return pd.DataFrame(rows)
