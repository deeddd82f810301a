"""Gates: what a reward model must fulfil to be promoted, as data that people review."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from mlproject.config.packaged import packaged_or_local
from mlproject.config.yaml_file import read_yaml
from mlproject.errors import UserError
from mlproject.laws import Estimate
from mlproject.optimization import METHODS
from mlproject.registry.metrics import METRICS, Evidence

FOLDER = "model_registry"
"""Folder with the reviewed gates and the template of the model card (see `mlproject.config.packaged`)."""

BOUNDS = ("value", "low", "high")
_FILE_FIELDS, _FIELDS, _REQUIRED = (
    {"method", "gates"},
    {"metric", "at_least", "at_most", "judged_by", "kl", "otherwise", "remedy"},
    ("metric", "judged_by", "otherwise", "remedy"),
)


@dataclass(frozen=True)
class Gate:
    """One condition.

    Attributes:
        metric: a name of `METRICS`.
        at_least, at_most: allowed range, in the metric's unit.
        judged_by: which end of the 95 % interval must lie in it: `low`, `high`, or the `value` itself.
        kl: argument of metrics that take one, nats.
        otherwise: words shown when it fails.
        remedy: what would change that.
    """

    metric: str
    at_least: float
    at_most: float
    judged_by: str
    otherwise: str
    remedy: str
    kl: float | None = None

    @property
    def name(self) -> str:
        return self.metric if self.kl is None else f"{self.metric}.{self.kl:g}"

    @property
    def condition(self) -> str:
        """The range in words."""
        ends = [f"at least {self.at_least:g}"] if self.at_least > -math.inf else []
        ends += [f"at most {self.at_most:g}"] if self.at_most < math.inf else []
        which = {"value": "", "low": ", lower bound", "high": ", upper bound"}[self.judged_by]
        return " and ".join(ends) + which

    def judge(self, evidence: Evidence) -> Verdict:
        """Whether the evidence passes; where it lacks the metric it does not."""
        arguments = {} if self.kl is None else {"kl": self.kl}
        measured = METRICS[self.metric].measure(evidence, **arguments)
        judged = getattr(measured, self.judged_by)
        short = max(self.at_least - judged, judged - self.at_most) if math.isfinite(judged) else math.inf
        return Verdict(self, measured, short)


@dataclass(frozen=True)
class Verdict:
    """What a gate says of a candidate.

    Attributes:
        gate: which.
        measured: value with its 95 % interval.
        short: how far it is outside the gate's range; 0 or less where it passes, infinite where nothing was measured.
    """

    gate: Gate
    measured: Estimate
    short: float

    @property
    def holds(self) -> bool:
        return self.short <= 0

    def __str__(self) -> str:
        value, low, high = self.measured
        figure = f"{value:.4g}" if low == value == high else f"{value:.4g} [{low:.4g}, {high:.4g}]"
        if not math.isfinite(value):
            figure = "not measured"
        text = f"{self.gate.name}: {figure}, wanted {self.gate.condition}"
        if self.holds:
            return f"passed  {text}"
        by = f"; short by {self.short:.3g}" if math.isfinite(self.short) else ""
        return f"refused {text}{by}. {self.gate.otherwise} {self.gate.remedy}"


@dataclass(frozen=True)
class Gates:
    """The gates of a registered model.

    Attributes:
        method: how policies will be optimized against the promoted model; its curves are the evidence.
        gates: all must hold.
        text: the file they were read from.
    """

    method: str
    gates: tuple[Gate, ...]
    text: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return sha256(self.text).hexdigest()

    def judge(self, evidence: Evidence, audit: bool) -> list[Verdict]:
        """Verdicts of all gates, or, without the audit, of those that do not need it."""
        return [gate.judge(evidence) for gate in self.gates if audit or not METRICS[gate.metric].needs_audit]


def read_gates(path: Path | None = None) -> Gates:
    """Read and check a file of gates.

    Args:
        path: of the file; None reads `model_registry/gates.yaml`.

    Raises:
        UserError: one line on what is wrong, in which gate.
    """
    path = packaged_or_local(FOLDER, "gates.yaml") if path is None else path.expanduser()
    content = read_yaml(path, "gates", "See model_registry/gates.yaml for the form.")
    if not isinstance(content, dict) or set(content) != _FILE_FIELDS:
        raise UserError(
            f"gates={path}: wanted are the fields method and gates, nothing else; add or remove what differs"
        )
    if content["method"] not in METHODS:
        raise UserError(f"gates={path}: method={content['method']}: allowed are {', '.join(METHODS)}")
    if not isinstance(content["gates"], list) or not content["gates"]:
        raise UserError(f"gates={path}: gates must be a list of at least one; an empty one would promote everything")
    gates = [_gate(each, f"gates={path}: gate {i + 1}") for i, each in enumerate(content["gates"])]
    _check_names(path, gates)
    return Gates(content["method"], tuple(gates), path.read_bytes())


def _gate(content: Any, where: str) -> Gate:
    if not isinstance(content, dict):
        raise UserError(f"{where}: holds {content!r}; give the fields {', '.join(_REQUIRED)}, at_least or at_most")
    metric = str(content.get("metric"))
    if metric not in METRICS:
        raise UserError(f"{where}: metric={metric}: allowed are {', '.join(METRICS)}")
    where = f"{where} ({metric})"
    missing = [name for name in _REQUIRED if name not in content]
    if missing or not {"at_least", "at_most"} & set(content):
        raise UserError(f"{where}: lacks {missing[0] if missing else 'at_least or at_most'}; add it")
    if unknown := sorted(set(map(str, content)) - _FIELDS):
        raise UserError(f"{where}: there is no field {unknown[0]}; allowed are {', '.join(sorted(_FIELDS))}")
    if content["judged_by"] not in BOUNDS:
        raise UserError(f"{where}: judged_by={content['judged_by']}: allowed are {', '.join(BOUNDS)}")
    wanted = METRICS[metric].argument
    if ("kl" in content) != (wanted == "kl"):
        raise UserError(f"{where}: " + ("lacks kl, in nats; add it" if wanted else "takes no kl; remove it"))
    low, high = (
        _number(content.get(name, end), where, name) for name, end in (("at_least", -math.inf), ("at_most", math.inf))
    )
    if low > high:
        raise UserError(f"{where}: at_least={low:g} is above at_most={high:g}, so nothing could pass; change one")
    kl = _number(content["kl"], where, "kl") if wanted else None
    if kl is not None and not 0 < kl < math.inf:
        raise UserError(f"{where}: kl={kl:g}: allowed is a number of nats above 0")
    otherwise, remedy = (str(content[name]).strip() for name in ("otherwise", "remedy"))
    if not otherwise or not remedy:
        raise UserError(f"{where}: otherwise and remedy are shown to people; neither may be empty")
    return Gate(metric, low, high, content["judged_by"], otherwise, remedy, kl)


def _number(value: Any, where: str, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise UserError(f"{where}: {name}={value}: allowed is a number; write it without quotes")
    return float(value)


def _check_names(path: Path, gates: Sequence[Gate]) -> None:
    names = [gate.name for gate in gates]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"gates={path}: {twice[0]} is judged by two gates; give one with at_least and at_most")
