"""What figures call settings, values and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlproject.models.sizes import SIZES
from mlproject.names import Metric

SCORE = "score above the initial policy\n(standard deviations)"
"""Label of an axis that gold, proxy and human share."""

_LABELS = {
    "sqrt_kl": "$\\sqrt{\\mathrm{KL}}$ from the initial policy (square-root nats)",
    "kl": "KL from the initial policy (nats)",
    "proxy": "proxy score above the initial policy (gold standard deviations)",
    Metric.PEAK_GOLD: "peak gold\n(standard deviations)",
    Metric.PEAK_KL: "peak KL (nats)",
    Metric.CURVE_GOLD: "gold at the last point\n(standard deviations)",
    Metric.CURVE_PROXY: "proxy score at the last point\n(gold standard deviations)",
    Metric.CURVE_HUMAN: "human judgement at the last point\n(standard deviations)",
    Metric.CURVE_KL: "KL at the last point (nats)",
    Metric.DROP_GOLD: "gold lost after the peak\n(standard deviations)",
    Metric.RM_VAL_LOSS: "validation loss (nats)",
    Metric.RM_VAL_ACCURACY: "validation accuracy",
    "rm_params": "reward model, by its parameters",
    "kl_coef": "KL coefficient (gold standard deviations per nat)",
}
_SETTINGS = {"rm_size": "RM size", "kl_coef": "KL coefficient", "n_comparisons": "comparisons", "rm_epochs": "passes"}
_VALUES = {"ppo": "PPO", "dpo": "DPO"}


def axis_label(name: str) -> str:
    """With units; a metric that is not known here stands for itself."""
    return _LABELS.get(name, name if "/" in name else setting(name))


def score(name: str) -> str:
    """A score or kept sign as a legend has it: `test RM 100k` for `test_rm.100k`."""
    return name.replace("_rm.", " RM ").replace("rm_gap.", "proxy less test RM ")


def setting(name: str) -> str:
    """An option as people read it."""
    return _SETTINGS.get(name, name.replace("_", " "))


def value(given: Any) -> str:
    """A value in few characters: 32k for 32000."""
    if isinstance(given, int | np.integer) and given >= 1000:
        return f"{given / 1000:.3g}k"
    if isinstance(given, int | float | np.number):
        return f"{given:g}"
    return _VALUES.get(given, str(given) or "none")


def group(values: Mapping[str, Any]) -> str:
    """Values of a group, each with its setting where it does not speak for itself.

    Nothing is said of a setting that a run does not have (nan, empty).
    """
    said = {name: given for name, given in values.items() if not pd.isna(given) and given != ""}
    plain = {name for name, given in said.items() if isinstance(given, str) and given not in SIZES}
    return ", ".join(
        value(given) if name in plain else f"{setting(name)} {value(given)}" for name, given in said.items()
    )


def key(values: Mapping[str, Any]) -> str:
    """What a colour stands for: the bare value of a single setting, as its legend names the setting."""
    return value(next(iter(values.values()))) if len(values) == 1 else group(values)
