"""Every prompt's own scores, where this project wrote them beside a log: with them a forecast is the same everywhere.

A table holds means and standard errors. What the scores of single prompts add, the correlation between points and that
of proxy and gold, is lost in it, so that a forecast from a table differs from one that followed the run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlproject.curve import Curve, CurvePoint
from mlproject.names import Artifact
from mlproject.tracking.artifact_files import fetch

BESIDE_TABLE = Path("overoptimization") / Artifact.CURVE
"""Where the callback writes the scores, seen from the folder of its table."""

_TOLERANCE = 1e-6
"""Relative to the largest value: numbers of a table are texts, and those of some databases single precision."""


def curve_beside(path: Path) -> Curve | None:
    """The curve that belongs to a table of the callback, or to a run's copy of it; None where none lies there."""
    files = [path.parent / BESIDE_TABLE, path.parent / Artifact.CURVE] if path.name == Artifact.TRAINER_TABLE else []
    return next((Curve.load(file) for file in files if file.is_file()), None)


def curve_of_run(client: MlflowClient, run_id: str) -> Curve | None:
    """The curve among the artifacts of a run; None for a run that has none."""
    try:
        if not any(each.path == Artifact.CURVE for each in client.list_artifacts(run_id)):
            return None
        return Curve.load(fetch(client, run_id, Artifact.CURVE))
    except (MlflowException, OSError):
        return None


def points_like(curve: Curve | None, table: pd.DataFrame) -> list[CurvePoint] | None:
    """The points of a curve in order of KL, where they are those of a table.

    Args:
        curve: as it was found.
        table: columns `kl`, `gold` and `step`, in order of KL; gold may be recentred.

    Returns:
        None where they differ: the curve is of another run, or of another stretch of it.
    """
    if curve is None or "step" not in table:
        return None
    points = [point for point in curve if np.isfinite([point.kl, point.gold]).all()]
    points.sort(key=lambda point: (max(point.kl, 0.0), point.step))
    if len(points) != len(table) or [point.step for point in points] != table.step.astype(int).tolist():
        return None
    kl_S, gold_S = np.array([max(point.kl, 0.0) for point in points]), np.array([point.gold for point in points])
    shift_S = gold_S - table.gold.to_numpy()
    same_kl = np.allclose(kl_S, table.kl, rtol=0, atol=_TOLERANCE * max(kl_S.max(), 1.0))
    return points if same_kl and np.ptp(shift_S) <= _TOLERANCE * max(np.abs(gold_S).max(), 1.0) else None
