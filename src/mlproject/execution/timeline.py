"""The timeline of a study: when each step ran and where, what it waited for and used, and how busy the cores were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlproject.execution.assignment import Outcome
from mlproject.pipeline.step import Step

_SHOWN_STEPS = 4
"""Steps of the longest chain that a line names."""


def timeline_of(
    outcomes: Mapping[Step, Outcome],
    requested_at: Mapping[Step, float],
    *,
    start: float,
    end: float,
    own_cpu_seconds: float,
    cores: int,
) -> dict[str, Any]:
    """The content of `timeline.json`.

    Args:
        outcomes: of the steps of a study, inputs before the steps that read them.
        requested_at: when each step was asked for, seconds since the epoch.
        start, end: of the study, seconds since the epoch.
        own_cpu_seconds: of the process that schedules the steps.
        cores: that the study may use.

    Returns:
        `seconds`, `cores`, `cpu_seconds` (of all steps and of the scheduling process), `utilisation` (these over
        seconds x cores), `occupied` (mean number of steps that ran side by side), `longest_chain` (`seconds` and names
        of the `steps` that waited for each other), and a row for each of the `steps`, in the order of their starts,
        reused ones at the end: `step`, `kind`, `method`, `run_id`, `reused`; of an executed one also `process`,
        `ready`, `start`, `end` (seconds since the study's start), `waited_for` (the last of its inputs; None where it
        was asked for later), `cpu_seconds`, `peak_memory` (bytes).
    """
    rows = [_row(step, outcomes, requested_at, start) for step in outcomes]
    executed = sorted((row for row in rows if not row["reused"]), key=lambda row: row["start"])
    seconds = max(end - start, 1e-9)
    cpu_seconds = own_cpu_seconds + sum(row["cpu_seconds"] for row in executed if _is_measured(row))
    return {
        "seconds": round(seconds, 2),
        "cores": cores,
        "cpu_seconds": round(cpu_seconds, 2),
        "utilisation": round(cpu_seconds / (seconds * cores), 4),
        "occupied": round(sum(row["end"] - row["start"] for row in executed if _is_measured(row)) / seconds, 4),
        "longest_chain": _longest_chain(outcomes),
        "steps": executed + [row for row in rows if row["reused"]],
    }


def summary_line(timeline: Mapping[str, Any]) -> str:
    """Utilisation and longest chain, for people; empty where nothing was executed."""
    chain, names = timeline["longest_chain"], timeline["longest_chain"]["steps"]
    if not names:
        return ""
    shown = names if len(names) <= _SHOWN_STEPS else [*names[: _SHOWN_STEPS - 2], "...", *names[-2:]]
    return (
        f"cores: {timeline['utilisation']:.0%} of {timeline['cores']} busy during {timeline['seconds']:.0f} s, "
        f"{timeline['occupied']:.2f} steps at a time; longest chain {chain['seconds']:.0f} s: {' > '.join(shown)}"
    )


def _row(
    step: Step, outcomes: Mapping[Step, Outcome], requested_at: Mapping[Step, float], start: float
) -> dict[str, Any]:
    outcome = outcomes[step]
    row = {
        "step": step.name,
        "kind": step.kind,
        "method": step.params.get("method", ""),
        "run_id": outcome.run_id,
        "reused": outcome.reused,
    }
    usage = outcome.usage
    if outcome.reused:
        return row
    assert usage is not None, "whatever executes a step says what it used"
    ends = {
        source.name: found.usage.end
        for source in step.inputs.values()
        if isinstance(source, Step) and (found := outcomes.get(source)) is not None and found.usage is not None
    }
    asked = min(requested_at.get(step, usage.start), usage.start)
    last = max(ends, key=ends.__getitem__, default=None)
    waited_for = last if last is not None and ends[last] > asked else None
    ready = ends[waited_for] if waited_for is not None else asked
    return row | {
        "process": usage.process,
        "ready": round(ready - start, 3),
        "start": round(usage.start - start, 3),
        "end": round(usage.end - start, 3),
        "waited_for": waited_for,
        "cpu_seconds": None if usage.cpu_seconds is None else round(usage.cpu_seconds, 3),
        "peak_memory": usage.peak_memory,
    }


def _is_measured(row: Mapping[str, Any]) -> bool:
    """Whether a process of its own executed the step."""
    return row["cpu_seconds"] is not None


def _longest_chain(outcomes: Mapping[Step, Outcome]) -> dict[str, Any]:
    """The chain of steps, each an input of the next, whose wall times add up to most.

    Steps that the scheduling process filled are left out, since most of their time they wait for others.
    """
    chains: dict[Step, tuple[float, tuple[str, ...]]] = {}

    def chain(step: Step) -> tuple[float, tuple[str, ...]]:
        if step not in chains:
            sources = [source for source in step.inputs.values() if isinstance(source, Step) and source in outcomes]
            seconds, names = max((chain(source) for source in sources), default=(0.0, ()))
            usage = outcomes[step].usage
            if usage is not None and usage.cpu_seconds is not None:
                seconds, names = seconds + usage.end - usage.start, (*names, step.name)
            chains[step] = seconds, names
        return chains[step]

    seconds, names = max((chain(step) for step in outcomes), default=(0.0, ()))
    return {"seconds": round(seconds, 2), "steps": list(names)}
