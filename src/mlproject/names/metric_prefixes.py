"""What families of metrics begin with."""

from __future__ import annotations

from typing import Final

from mlproject.names.metrics import COUNT, EVERY_POINT, METRICS


class MetricPrefix:
    """What families of metrics begin with."""

    CURVE: Final = "curve/"
    FORECAST: Final = "forecast/"
    LAW: Final = "law/"
    PROMPTS: Final = METRICS.add_family("prompts/", "<split>", "prompts of a split", "imported initial policies", COUNT)
    RM: Final = "rm/"
    STATISTICS: Final = METRICS.add_family(
        "signs/", "<statistic>", "text statistics and auxiliary reward models", EVERY_POINT, "see below"
    )
    ALARMS: Final = METRICS.add_family(
        "alarms/",
        "<alarm>",
        "1 where the alarm is raised, else 0; on PPO runs since 0.2.0",
        "PPO runs, trainer runs: every point",
        "0 or 1",
    )
    EVALUATOR: Final = METRICS.add_family(
        "meter/",
        "<diagnostic>",
        "how sampled KL estimates compare with the exact KL",
        "trainer runs: every point",
        "see below",
    )
    TREND: Final = METRICS.add_family(
        "trend/",
        "<method>_<coefficient>_slope",
        "slope of a law's coefficient over log10 of RM parameters",
        "laws",
        "unit of the coefficient",
    )
    RANK: Final = METRICS.add_family(
        "rank/", "<method>_seed_<seed>", "Spearman's correlation of peak gold with RM size", "laws", "correlation"
    )
    PROBE: Final = METRICS.add_family(
        "probe/",
        "<probe>",
        "mean gain of a reward's score by a cheap change of responses",
        "probes",
        "standard deviations of the reward's scores",
        "0.2.0",
    )
    SCORER: Final = METRICS.add_family(
        "scorer/",
        "<role>_<count>",
        "what was asked of a reward that is a function or a service: `responses`, of them `cache_hits`, `calls` "
        "(batches), `retries`, `seconds`",
        "runs that score by one, at the end",
        "count or seconds",
        "0.2.0",
    )
    GATE: Final = METRICS.add_family(
        "gate/",
        "<gate>",
        "a gate's estimate; `_low`, `_high`: its interval; `_holds`: 0 or 1",
        "promotions",
        "of the gate",
    )
