"""A step is (name, configuration, inputs) -> a run. Its fingerprint says whether that run exists already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mlproject.config.schema import Config
    from mlproject.curve import CurvePoint


@dataclass(frozen=True)
class Made:
    """A run that exists already and serves as an input (a proxy given by its run id).

    Attributes:
        run_id: of the run.
        fingerprint: of the step that made it.
        params: its parameters, as texts.
    """

    run_id: str
    fingerprint: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shared:
    """A step's work that several processes can do together.

    Attributes:
        most: processes that it can be shared between.
        limit: the options that say so, for people.
    """

    most: int
    limit: str


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a study.

    Attributes:
        name: for people: run name and progress display.
        kind: value of the tag `mlproject.kind`.
        version: raised when a change of the code changes the result.
        params: all configuration that the result depends on, inputs apart.
        inputs: steps or runs it reads, by role.
        work: module with the function `work(run)`.
        shown: parameters of its inputs that are repeated on the run, so that one table can be filtered and grouped.
        tags: further tags of the run.
        threads: that its arithmetic uses; 2 for a step that everything else waits for. Fixed, since the order of sums,
            and so the last digits of a result, depend on it.
        how: options that say how the work is done and change no more than the last digits of what comes out; they are
            no part of the fingerprint.
        shared: where several processes were started together, they share the work; None: the first does it alone.
    """

    name: str
    kind: str
    version: int
    params: Mapping[str, Any]
    work: str
    inputs: Mapping[str, Step | Made] = field(default_factory=dict)
    shown: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    how: Mapping[str, Any] = field(default_factory=dict)
    shared: Shared | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Hash of kind, version, parameters and the inputs' fingerprints."""
        return fingerprint(
            {
                "kind": self.kind,
                "version": self.version,
                "params": dict(self.params),
                "inputs": {role: step.fingerprint for role, step in self.inputs.items()},
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def load_work(self) -> Callable[[Run], None]:
        """Import the module that carries the step out."""
        return import_module(self.work).work


class Run(Protocol):
    """What a step's work sees of the run that it fills.

    Attributes:
        params: the step's parameters.
        how: its options that change no more than the last digits of the result.
        folder: an empty folder; what the work leaves in it becomes the run's artifacts.
    """

    params: Mapping[str, Any]
    how: Mapping[str, Any]
    folder: Path

    def input(self, role: str) -> Path:
        """Folder with the artifacts of an input."""
        ...

    def checkpoint(self, role: str, name: str) -> Path:
        """Folder with a model that an input kept by `log_checkpoint`."""
        ...

    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None: ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None: ...

    def log_checkpoint(
        self, name: str, step: int, metrics: Mapping[str, float], save: Callable[[Path], None]
    ) -> None: ...

    def goes_on(self, point: CurvePoint) -> bool:
        """Told every curve point; False ends a policy run before its budget."""
        ...

    def progress(self, share: float) -> None: ...


HOW = ("accumulation", "gradient_checkpointing")
"""Options of the configuration that stand in `Step.how` of every step that trains."""


def shared_batches(config: Config, batch_size: str) -> Shared:
    """A step that trains on batches can be shared between as many processes as a batch has examples."""
    most = getattr(config, batch_size)
    return Shared(most, f"{batch_size}={most}")


def fingerprint(content: Mapping[str, Any]) -> str:
    """SHA-256 over a canonical JSON text; equal content gives equal fingerprints."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=list).encode()).hexdigest()


def upstream(steps: Sequence[Step]) -> list[Step]:
    """All given steps and what they read, each once, inputs before those who read them."""
    ordered: dict[str, Step] = {}

    def visit(step: Step | Made) -> None:
        if isinstance(step, Step) and step.fingerprint not in ordered:
            for source in step.inputs.values():
                visit(source)
            ordered[step.fingerprint] = step

    for step in steps:
        visit(step)
    return list(ordered.values())
