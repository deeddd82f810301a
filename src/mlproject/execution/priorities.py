"""Which of several steps comes first: the one with the longest way to the end, by times of earlier runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mlflow.entities import Run

from mlproject.names import Tag
from mlproject.pipeline.cost import estimated_seconds
from mlproject.pipeline.step import Step
from mlproject.tracking.params import as_text

_SEEDS = ("seed", "world_seed")
"""Params that have no influence on how long a step takes."""


class Durations:
    """How long steps take: measured on the newest finished run with the same params but seeds, otherwise estimated.

    Args:
        runs: of the store, newest first.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self._by_kind: dict[str, list[Run]] = {}
        for run in runs:
            if run.info.status == "FINISHED" and run.info.end_time and Tag.KIND in run.data.tags:
                self._by_kind.setdefault(run.data.tags[Tag.KIND], []).append(run)
        self._known: dict[Step, float] = {}

    def seconds(self, step: Step) -> float:
        """Wall time of a step, one core."""
        if step not in self._known:
            self._known[step] = self._measured(step) or estimated_seconds(step)
        return self._known[step]

    def _measured(self, step: Step) -> float | None:
        params = {**step.inherited_params, **step.params}
        texts = {name: as_text(value) for name, value in params.items() if name not in _SEEDS}
        for run in self._by_kind.get(step.kind, ()):
            if texts.items() <= run.data.params.items() and run.data.tags.get(Tag.COMPLETE) != "false":
                return (run.info.end_time - run.info.start_time) / 1000
        return None


def longest_ways(plans: Sequence[tuple[Sequence[Step], int]], durations: Durations) -> Mapping[Step, float]:
    """Seconds from the start of each step to the end of the longest chain of steps that wait for it.

    Args:
        plans: of every job: its steps, inputs first, and how many further plans of the same length will follow.
        durations: of the steps.
    """
    after: dict[Step, float] = {}
    for plan, further in plans:
        longest = max((durations.seconds(step) for step in plan), default=0.0)
        for step in plan:
            after[step] = max(after.get(step, 0.0), further * longest)
    for step in reversed(_inputs_first(plans)):
        for source in step.inputs.values():
            if isinstance(source, Step):
                after[source] = max(after.get(source, 0.0), after[step] + durations.seconds(step))
    return {step: seconds + durations.seconds(step) for step, seconds in after.items()}


def _inputs_first(plans: Sequence[tuple[Sequence[Step], int]]) -> list[Step]:
    """Every step once. Each plan has the inputs of its steps before them, so this has too."""
    return list(dict.fromkeys(step for plan, _ in plans for step in plan))
