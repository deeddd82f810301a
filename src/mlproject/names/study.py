"""Metrics of the run of a command: what its steps took."""

from __future__ import annotations

from typing import Final

from mlproject.names.metrics import METRICS

_COUNT, _SHARE, _SECONDS = "count", "share", "seconds"


class StudyMetric:
    """Metrics of the run of a command."""

    SECONDS: Final = METRICS.add("study/seconds", "wall time of the command", "studies", _SECONDS)
    STEP_SECONDS: Final = METRICS.add("study/step_seconds", "process time of all steps it made", "studies", _SECONDS)
    TRACKING_SECONDS: Final = METRICS.add(
        "study/tracking_seconds", "of these, on the tracking server", "studies", _SECONDS
    )
    CPU_SECONDS: Final = METRICS.add(
        "study/cpu_seconds", "CPU time of all steps it made and of its own process", "studies", _SECONDS, since="0.2.0"
    )
    UTILISATION: Final = METRICS.add(
        "study/utilisation", "CPU time over wall time and cores", "studies", _SHARE, since="0.2.0"
    )
    LONGEST_CHAIN: Final = METRICS.add(
        "study/longest_chain",
        "wall time of the longest chain of steps that waited for each other",
        "studies",
        _SECONDS,
        since="0.2.0",
    )
    STEPS_MADE: Final = METRICS.add("study/steps_made", "steps that it executed", "studies", _COUNT)
    STEPS_REUSED: Final = METRICS.add("study/steps_reused", "finished steps that it reused", "studies", _COUNT)
