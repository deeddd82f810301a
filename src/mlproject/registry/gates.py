"""Gates: the conditions that a reward model must meet to be promoted, as data that people review."""

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
from mlproject.names import Artifact
from mlproject.optimization import METHODS
from mlproject.options.paths import expanded
from mlproject.registry.metrics import METRICS, Evidence

FOLDER = "model_registry"
"""Folder with the reviewed gates and the template of the model card (see `mlproject.config.packaged`)."""

BOUNDS = ("value", "low", "high")
_LARGEST = 1e15
_SENTENCES = "otherwise", "remedy"
_FILE_FIELDS, _FIELDS, _REQUIRED = (
    {"method", "gates"},
    {"metric", "at_least", "at_most", "judged_by", "kl", "otherwise", "remedy"},
    ("metric", "judged_by", "otherwise", "remedy"),
)


@dataclass(frozen=True)
class Gate:
    """One condition on one metric.

    Attributes:
        metric: key of `METRICS`.
        at_least, at_most: allowed range, in the unit of the metric.
        judged_by: what must lie in the range: the lower (`low`) or upper (`high`) end of the 95 % interval, or the
            `value` itself.
        kl: argument of metrics that take a KL, nats.
        otherwise: sentence shown if the gate fails.
        remedy: sentence that says what would change that.
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
        """The metric, with its argument if it takes one."""
        return self.metric if self.kl is None else f"{self.metric}.{self.kl:g}"

    @property
    def condition(self) -> str:
        """The allowed range as text."""
        ends = [f"at least {self.at_least:g}"] if self.at_least > -math.inf else []
        ends += [f"at most {self.at_most:g}"] if self.at_most < math.inf else []
        bound = {"value": "", "low": ", lower bound", "high": ", upper bound"}[self.judged_by]
        return " and ".join(ends) + bound

    def check(self, evidence: Evidence) -> GateResult:
        """Whether the evidence meets the condition; evidence that lacks the metric does not."""
        arguments = {} if self.kl is None else {"kl": self.kl}
        return self.judge(METRICS[self.metric].measure(evidence, **arguments))

    def judge(self, estimate: Estimate) -> GateResult:
        """Whether a measured value meets the condition."""
        bound = getattr(estimate, self.judged_by)
        shortfall = max(self.at_least - bound, bound - self.at_most) if math.isfinite(bound) else math.inf
        return GateResult(self, estimate, shortfall)


@dataclass(frozen=True)
class GateResult:
    """Result of one gate for one candidate.

    Attributes:
        gate: the condition.
        estimate: value of the metric with its 95 % interval.
        shortfall: distance to the allowed range, in the unit of the metric; 0 or less if the gate passed, infinite if
            nothing was measured.
    """

    gate: Gate
    estimate: Estimate
    shortfall: float

    @property
    def passed(self) -> bool:
        return self.shortfall <= 0

    def __str__(self) -> str:
        value, low, high = self.estimate
        measured = f"{value:.4g}" if low == value == high else f"{value:.4g} [{low:.4g}, {high:.4g}]"
        if not math.isfinite(value):
            measured = "not measured"
        text = f"{self.gate.name}: {measured}, required: {self.gate.condition}"
        if self.passed:
            return f"passed  {text}"
        missed_by = f"; missed by {self.shortfall:.3g}" if math.isfinite(self.shortfall) else ""
        return f"refused {text}{missed_by}. {self.gate.otherwise} {self.gate.remedy}"


@dataclass(frozen=True)
class Gates:
    """The gates of a registered model.

    Attributes:
        method: how policies will be optimized against the promoted model; the curves of this method are the evidence.
        gates: conditions, all of which must be met.
        text: content of the file.
    """

    method: str
    gates: tuple[Gate, ...]
    text: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return sha256(self.text).hexdigest()

    @property
    def need_probes(self) -> bool:
        """Whether a gate reads the probes."""
        return any(METRICS[gate.metric].needs_probes for gate in self.gates)

    def check(self, evidence: Evidence, audit: bool) -> list[GateResult]:
        """Results of all gates, or, if `audit` is False, of those that do not read the audit prompts."""
        return [gate.check(evidence) for gate in self.gates if audit or not METRICS[gate.metric].needs_audit]


def read_gates(path: Path | None = None) -> Gates:
    """Read and validate a file of gates.

    Args:
        path: of the file; None reads `model_registry/gates.yaml`.

    Raises:
        UserError: one line that names the gate and the mistake.
    """
    path = packaged_or_local(FOLDER, Artifact.GATES) if path is None else expanded(path)
    content = read_yaml(path, "gates", "See model_registry/gates.yaml for the format.")
    if not isinstance(content, dict) or set(content) != _FILE_FIELDS:
        raise UserError(f"gates={path}: must have exactly the fields method and gates. Add or remove fields.")
    judging = [method.name for method in METHODS.values() if method.needs_proxy]
    if not isinstance(content["method"], str) or content["method"] not in judging:
        alone = " which learns from comparisons and has no reward model to promote;" if _is_method(content) else ""
        raise UserError(f"gates={path}: method={content['method']}:{alone} must be one of {', '.join(judging)}.")
    if not isinstance(content["gates"], list) or not content["gates"]:
        raise UserError(
            f"gates={path}: gates must be a list of at least one gate, since an empty list would promote every model. "
            "Add a gate."
        )
    gates = [_gate(entry, f"gates={path}: gate {i + 1}") for i, entry in enumerate(content["gates"])]
    _check_names(path, gates)
    return Gates(content["method"], tuple(gates), path.read_bytes())


def _is_method(content: dict[str, Any]) -> bool:
    return isinstance(content["method"], str) and content["method"] in METHODS


def _gate(content: Any, where: str) -> Gate:
    if not isinstance(content, dict):
        raise UserError(
            f"{where}: is {content!r}, but must have the fields {', '.join(_REQUIRED)}, and at_least or at_most."
        )
    metric = str(content.get("metric"))
    if metric not in METRICS:
        raise UserError(f"{where}: metric={metric}: must be one of {', '.join(METRICS)}.")
    where = f"{where} ({metric})"
    missing = [name for name in _REQUIRED if name not in content]
    if missing or not {"at_least", "at_most"} & set(content):
        raise UserError(f"{where}: lacks {missing[0] if missing else 'at_least or at_most'}. Add it.")
    if unknown := sorted(set(map(str, content)) - _FIELDS):
        raise UserError(f"{where}: has an unknown field {unknown[0]}. Use only {', '.join(sorted(_FIELDS))}.")
    if not isinstance(content["judged_by"], str) or content["judged_by"] not in BOUNDS:
        raise UserError(f"{where}: judged_by={content['judged_by']}: must be one of {', '.join(BOUNDS)}.")
    takes_kl = METRICS[metric].argument == "kl"
    if ("kl" in content) != takes_kl:
        raise UserError(f"{where}: " + ("lacks kl, in nats. Add it." if takes_kl else "takes no kl. Remove it."))
    low, high = (
        _number(content[name], where, name) if name in content else end
        for name, end in (("at_least", -math.inf), ("at_most", math.inf))
    )
    if low > high:
        raise UserError(f"{where}: at_least={low:g} is above at_most={high:g}, so no value could pass. Change one.")
    kl = _number(content["kl"], where, "kl") if takes_kl else None
    if kl is not None and not 0 < kl < math.inf:
        raise UserError(f"{where}: kl={kl:g}: must be a number of nats above 0.")
    otherwise, remedy = (text.strip() if isinstance(text := content[name], str) else "" for name in _SENTENCES)
    if not otherwise or not remedy:
        raise UserError(f"{where}: otherwise and remedy must be texts, since people read them. Write a sentence.")
    return Gate(metric, low, high, content["judged_by"], otherwise, remedy, kl)


def _number(value: Any, where: str, name: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or abs(value) > _LARGEST or value != value:
        shown = str(value)[:40] if not isinstance(value, int) or abs(value) < _LARGEST else "an integer too large"
        raise UserError(
            f"{where}: {name}={shown}: must be a number that is finite. Write it without quotes, or leave it out."
        )
    return float(value)


def _check_names(path: Path, gates: Sequence[Gate]) -> None:
    names = [gate.name for gate in gates]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"gates={path}: {repeated[0]} has two gates. Use one gate with at_least and at_most.")
