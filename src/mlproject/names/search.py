"""What a search writes on the trials of its Optuna study."""

from __future__ import annotations

from typing import Final

from mlproject.names.metrics import Metric
from mlproject.names.table import NameTable

TRIAL_ATTRIBUTES: Final = NameTable()

_POINT, _DONE = "every point, as {update: value}", "when the trial is finished"


class TrialAttribute:
    """User attributes of Optuna trials."""

    CURVE_KL: Final = TRIAL_ATTRIBUTES.add(Metric.CURVE_KL, "KL from the initial policy", _POINT, "nats")
    CURVE_GOLD_SE: Final = TRIAL_ATTRIBUTES.add(
        Metric.CURVE_GOLD_SE, "standard error of gold; gold is the intermediate value", _POINT, "standard deviations"
    )
    RM_PARAMS: Final = TRIAL_ATTRIBUTES.add(
        "rm_params", "parameters of the proxy", "when the trial is planned", "count"
    )
    RUN_ID: Final = TRIAL_ATTRIBUTES.add("run_id", "its policy run", _DONE)
    REUSED: Final = TRIAL_ATTRIBUTES.add("reused", "whether that run was made for something else", _DONE)
    UPDATES: Final = TRIAL_ATTRIBUTES.add("updates", "PPO updates of the run", _DONE, "count")
    PEAK_GOLD: Final = TRIAL_ATTRIBUTES.add(Metric.PEAK_GOLD, "as on the run", _DONE, "standard deviations")
    PEAK_GOLD_SE: Final = TRIAL_ATTRIBUTES.add(Metric.PEAK_GOLD_SE, "as on the run", _DONE, "standard deviations")
    PEAK_KL: Final = TRIAL_ATTRIBUTES.add(Metric.PEAK_KL, "as on the run", _DONE, "nats")
    VERDICT: Final = TRIAL_ATTRIBUTES.add("verdict", "why the pruner ended it; empty where it did not", _DONE)
    PREDICTED_PEAK_GOLD: Final = TRIAL_ATTRIBUTES.add(
        "predicted_peak_gold", "gold that the trial could still have shown", "where it was ended", "standard deviations"
    )
    PREDICTED_UPPER: Final = TRIAL_ATTRIBUTES.add(
        "predicted_upper", "its upper bound", "where it was ended", "standard deviations"
    )
    BEST_PEAK_GOLD: Final = TRIAL_ATTRIBUTES.add(
        "best_peak_gold", "best peak gold of the finished trials", "where it was ended", "standard deviations"
    )
    QUEUE_SLOT: Final = TRIAL_ATTRIBUTES.add("queue/turn", "slot in the queue of a shared search", "shared searches")
    QUEUE_DUPLICATE: Final = TRIAL_ATTRIBUTES.add(
        "queue/double", "true: another trial has the slot; this one does not count", "shared searches"
    )
