"""What a joined log must not hold: infinite values, and two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mlproject.errors import UserError
from mlproject.report.logs.cells import INFINITE
from mlproject.report.logs.columns import CHART_SEPARATOR, REQUIRED
from mlproject.report.logs.steps import Metric


def check_one_run(chosen: Mapping[str, str], source: str) -> None:
    """Refuse KL of one run of a W&B chart beside gold of another.

    Args:
        chosen: column by meaning.
        source: the option and its value, for messages.
    """
    runs = {meaning: chosen[meaning].rpartition(CHART_SEPARATOR)[0] for meaning in REQUIRED}
    if all(runs.values()) and len(set(runs.values())) > 1:
        raise UserError(
            f"{source}: kl is of run {runs['kl']} and gold of run {runs['gold']}. Give columns=kl=... and gold=... of "
            "one run."
        )


def check_finite(metric: Metric, steps: pd.Index, column: str, source: str) -> None:
    """Refuse an infinite value at a step in use.

    Args:
        metric: the metric.
        steps: steps in use.
        column: its column.
        source: the option and its value, for messages.
    """
    values = metric.values[metric.values.index.isin(steps)]
    infinite = values.index[np.abs(values) >= INFINITE]
    if len(infinite):
        raise UserError(
            f"{source}: {metric.place(infinite[0])}, column {column}: {values[infinite[0]]:g} must be a finite number. "
            "Correct it, or leave that step out."
        )
