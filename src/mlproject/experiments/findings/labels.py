"""Labels of settings, values and metrics in figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlproject.models.sizes import SIZES
from mlproject.names import Metric
from mlproject.optimization import METHODS
from mlproject.pipeline.policy_run import IMPLICIT

SCORE = "score above the initial policy\n(standard deviations)"
"""Label of an axis for gold, proxy and human scores."""

_LABELS = {
    "sqrt_kl": "$\\sqrt{\\mathrm{KL}}$ from the initial policy (square-root nats)",
    "kl": "KL from the initial policy (nats)",
    "win_rate": "win rate against\nthe initial policy, by gold",
    "proxy": "proxy score above the initial policy (gold standard deviations)",
    Metric.PEAK_GOLD: "peak gold\n(standard deviations)",
    Metric.PEAK_KL: "peak KL (nats)",
    Metric.CURVE_WIN_RATE: "win rate against the initial policy at the last point",
    Metric.PEAK_WIN_RATE: "win rate against the initial policy at the peak",
    Metric.CURVE_GOLD: "gold at the last point\n(standard deviations)",
    Metric.CURVE_PROXY: "proxy score at the last point\n(gold standard deviations)",
    Metric.CURVE_HUMAN: "human judgement at the last point\n(standard deviations)",
    Metric.CURVE_KL: "KL at the last point (nats)",
    Metric.DROP_GOLD: "gold lost after the peak\n(standard deviations)",
    Metric.RM_VAL_LOSS: "validation loss (nats)",
    Metric.RM_VAL_ACCURACY: "validation accuracy",
    "rm_params": "RM parameters",
    "kl_coef": "KL coefficient (gold standard deviations per nat)",
}
_SETTINGS = {
    "rm_size": "RM size",
    "kl_coef": "KL coefficient",
    "n_comparisons": "comparisons",
    "rm_epochs": "epochs",
    "align_beta": "beta",
    "rm_margin": "margin",
    "rm_label_smoothing": "label smoothing",
    "center_rewards_coefficient": "centring",
    "rm_text_weight": "share of text",
}

_VALUES = {IMPLICIT: "no RM"}


def axis_label(name: str) -> str:
    """Label of an axis, with its unit; an unknown metric is its own label."""
    return _LABELS.get(name, name if "/" in name else setting(name))


def score(name: str) -> str:
    """Legend label of a score or statistic: `test RM 100k` for `test_rm.100k`."""
    return name.replace("_rm.", " RM ").replace("rm_gap.", "proxy minus test RM ").replace("win_rate", "win rate")


def setting(name: str) -> str:
    """Display name of an option."""
    return _SETTINGS.get(name, name.replace("_", " "))


def value(raw: Any) -> str:
    """A value in few characters: 32k for 32000."""
    if isinstance(raw, int | np.integer) and raw >= 1000:
        return f"{raw / 1000:.3g}k"
    if isinstance(raw, int | float | np.number):
        return f"{raw:g}"
    return METHODS[raw].label if raw in METHODS else _VALUES.get(raw, str(raw)) or "none"


def group(values: Mapping[str, Any]) -> str:
    """Label of a group: its values, sizes and numbers with their settings; missing values (nan, empty) are left out."""
    present = {name: raw for name, raw in values.items() if not pd.isna(raw) and raw != ""}
    plain = {name for name, raw in present.items() if isinstance(raw, str) and raw not in SIZES}
    return ", ".join(value(raw) if name in plain else f"{setting(name)} {value(raw)}" for name, raw in present.items())


def key(values: Mapping[str, Any]) -> str:
    """Label of a colour: the bare value of a single setting, which the legend names; otherwise that of the group."""
    return value(next(iter(values.values()))) if len(values) == 1 else group(values)
