"""What a step needs of an engine: cores, GPUs, memory; by kind of step, as the user's file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlproject.config.yaml_file import read_yaml
from mlproject.errors import UserError
from mlproject.names.runs import KINDS
from mlproject.options.paths import expanded
from mlproject.pipeline.step import Step

_OPTION = "engine_resources"
_NUMBERS = ("num_cpus", "num_gpus", "memory_gb", "timeout_min")
_DEFAULT = "default"


@dataclass(frozen=True)
class Resources:
    """What one step needs.

    Attributes:
        num_cpus: cores.
        num_gpus: GPUs; a fraction is a share of one.
        memory_gb: GiB; 0: not said.
        timeout_min: minutes after which a batch system ends the job; 0: not said.
        further: what is handed to the engine as it is, such as `slurm_partition`.
    """

    num_cpus: float
    num_gpus: float
    memory_gb: float
    timeout_min: float
    further: Mapping[str, Any]


class ResourceTable:
    """Resources by kind of step.

    Args:
        path: YAML: kind of step, or `default`, to a mapping of resources; empty: a core for each step.

    Raises:
        UserError: for a file that says something else.
    """

    def __init__(self, path: str) -> None:
        content = read_yaml(expanded(path), _OPTION, "See docs/cluster.md for the form.") if path else {}
        if not isinstance(content, dict):
            raise UserError(f"{_OPTION}={path}: must be a mapping of kinds of steps to resources. See docs/cluster.md.")
        kinds = [*(spec.name for spec in KINDS), _DEFAULT]
        for kind, resources in content.items():
            if kind not in kinds:
                raise UserError(f"{_OPTION}={path}: {kind!r} must be one of {', '.join(kinds)}. Correct the file.")
            if not isinstance(resources, dict) or not all(isinstance(name, str) for name in resources):
                raise UserError(f"{_OPTION}={path}: {kind} must be a mapping, such as num_gpus: 1. Correct the file.")
            for name in _NUMBERS:
                value = resources.get(name, 0)
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
                    raise UserError(
                        f"{_OPTION}={path}: {name} of {kind} must be a number of at least 0, not {value!r}. Correct "
                        "the file."
                    )
        self._by_kind: Mapping[str, Mapping[str, Any]] = content

    def of(self, step: Step) -> Resources:
        """What a step needs."""
        said = {"num_cpus": 1, **self._by_kind.get(_DEFAULT, {}), **self._by_kind.get(step.kind, {})}
        num_cpus, num_gpus, memory_gb, timeout_min = (float(said.pop(name, 0)) for name in _NUMBERS)
        return Resources(num_cpus, num_gpus, memory_gb, timeout_min, said)
