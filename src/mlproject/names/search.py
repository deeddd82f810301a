"""What a search writes on the trials of its Optuna study."""

from __future__ import annotations

from typing import Final

from mlproject.names.metrics import Metric


class TrialAttribute:
    """User attributes of Optuna trials. A trial also has the metrics `peak/gold`, `peak/gold_se` and `peak/kl`."""

    CURVE_KL: Final = Metric.CURVE_KL
    CURVE_GOLD_SE: Final = Metric.CURVE_GOLD_SE
    RM_PARAMS: Final = "rm_params"
    RUN_ID: Final = "run_id"
    REUSED: Final = "reused"
    UPDATES: Final = "updates"
    VERDICT: Final = "verdict"
    PREDICTED_PEAK_GOLD: Final = "predicted_peak_gold"
    PREDICTED_UPPER: Final = "predicted_upper"
    BEST_PEAK_GOLD: Final = "best_peak_gold"
