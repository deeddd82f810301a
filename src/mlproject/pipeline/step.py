"""A step of a study: what is computed, from which inputs, under which fingerprint. Each step becomes one MLflow run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlproject.models.memory import MemoryOptions
from mlproject.resume.resumption import Resumption
from mlproject.rewards.options import CallOptions
from mlproject.strict_json import strict_json

if TYPE_CHECKING:
    from mlproject.config.schema import Config
    from mlproject.optimization.stopping import StopRule


@dataclass(frozen=True)
class RunRef:
    """Reference to an existing run that serves as an input (a proxy given by its run id).

    Attributes:
        run_id: id of the run.
        fingerprint: fingerprint of its step.
        params: its parameters, as texts.
    """

    run_id: str
    fingerprint: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProcessLimit:
    """How many processes can share one step.

    Attributes:
        count: the largest number of processes.
        options: the options that set it, as `name=value`, for error messages.
    """

    count: int
    options: str


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a study.

    Attributes:
        name: shown as the run name and in progress lines.
        kind: value of the tag `mlproject.kind`.
        version: incremented when a change of the code changes the result.
        params: all configuration that the result depends on, apart from that of the inputs.
        fn: fills the run; a function at the top level of a module, so that a step can be sent to another process. None
            for a step whose run the caller fills (search, experiment, promotion).
        inputs: steps or runs that it reads, by role.
        inherited_params: parameters of its inputs that are repeated on the run, so that one table can be filtered and
            grouped.
        tags: further tags of the run.
        execution_options: options that change how the step is executed and no more than the last digits of its result;
            not part of the fingerprint.
        max_processes: limit on the processes that share the step under torchrun; None: the main process executes it
            alone.
    """

    name: str
    kind: str
    version: int
    params: Mapping[str, Any]
    fn: Callable[[Run], None] | None = None
    inputs: Mapping[str, Step | RunRef] = field(default_factory=dict)
    inherited_params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    execution_options: Mapping[str, Any] = field(default_factory=dict)
    max_processes: ProcessLimit | None = None

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

    def execute(self, run: Run) -> None:
        """Fill the run of this step."""
        if self.fn is None:
            raise RuntimeError(f"step {self.name!r} has no function: its caller fills the run")
        self.fn(run)


class Run(Protocol):
    """What the function of a step sees of the run that it fills.

    Attributes:
        params: the step's parameters.
        tags: the step's tags.
        execution_options: the step's options that change no more than the last digits of the result.
        folder: an empty folder; files left in it become the run's artifacts.
        stop_rules: rules from outside the step that may end a policy run before its budget.
        resumption: where the state of the step is saved while it runs.
        cache: folder of what several runs compute alike; None: nothing is kept there.
    """

    params: Mapping[str, Any]
    tags: Mapping[str, str]
    execution_options: Mapping[str, Any]
    folder: Path
    stop_rules: Sequence[StopRule]
    resumption: Resumption
    cache: Path | None

    def input(self, role: str) -> Path:
        """Folder with the artifacts of an input."""
        ...

    def checkpoint(self, role: str, name: str) -> Path:
        """Folder with a model that an input saved with `log_checkpoint`."""
        ...

    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None: ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def describe(self, result: str, figure: str) -> None:
        """Say what came of the run: one sentence, and an artifact with a picture."""
        ...

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None: ...

    def log_checkpoint(
        self, name: str, step: int, metrics: Mapping[str, float], save: Callable[[Path], None]
    ) -> None: ...

    def progress(self, share: float) -> None: ...


EXECUTION_OPTIONS = tuple(field.name for field in fields(MemoryOptions))
"""Options of the configuration that become `Step.execution_options` of every step that trains."""
CALL_OPTIONS = tuple(field.name for field in fields(CallOptions))
"""Those of every step that scores responses by what may be a function or a service."""


def batch_limit(config: Config, batch_size: str) -> ProcessLimit:
    """Limit of a step that trains on batches: one process per example of a batch."""
    examples = getattr(config, batch_size)
    return ProcessLimit(examples, f"{batch_size}={examples}")


def fingerprint(content: Mapping[str, Any]) -> str:
    """SHA-256 over a canonical JSON text; equal content gives equal fingerprints."""
    return hashlib.sha256(strict_json(content, sort_keys=True, default=list).encode()).hexdigest()


def upstream(steps: Sequence[Step]) -> list[Step]:
    """The given steps and all that they read, each once, inputs before the steps that read them."""
    ordered: dict[str, Step] = {}

    def visit(step: Step | RunRef) -> None:
        if isinstance(step, Step) and step.fingerprint not in ordered:
            for source in step.inputs.values():
                visit(source)
            ordered[step.fingerprint] = step

    for step in steps:
        visit(step)
    return list(ordered.values())
