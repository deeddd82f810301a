"""How far to optimize against a registered reward model: the KL at which policies peaked that were."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlflow import MlflowClient

from mlproject.curve import Curve, CurvePoint
from mlproject.registry.record import KL_BUDGET
from mlproject.registry.versions import resolve_version


@dataclass(frozen=True)
class Budget:
    """A KL budget.

    Attributes:
        kl: nats.
        version: of which it is known, in words.
    """

    kl: float
    version: str

    def judge(self, curve: Curve) -> str:
        """One line: whether a curve stayed within it."""
        beyond = [point for point in curve if point.kl > self.kl]
        if not beyond:
            return f"KL stayed within the budget of {self.kl:.3g} nats of {self.version}"
        first, last = beyond[0], beyond[-1]
        return (
            f"warning: the KL budget of {self.kl:.3g} nats of {self.version} was passed at step {first.step}; gold "
            f"{first.gold:.2f} there, {last.gold:.2f} at the end ({last.kl:.3g} nats)"
        )


def budget_of(client: MlflowClient, given: str, method: str) -> Budget | None:
    """The budget that a version's tags name for a method; None where there is none, or no version was given.

    Args:
        client: of the store.
        given: what names a proxy; only `models:/...` names a version.
        method: of the policy run.
    """
    if not given.startswith("models:/"):
        return None
    version = resolve_version(client, given)
    try:
        kl = float(version.tags.get(f"{KL_BUDGET}.{method}", "nan"))
    except ValueError:
        return None
    return Budget(kl, f"{version.name} version {version.version}") if math.isfinite(kl) and kl > 0 else None


@dataclass
class BudgetWatch:
    """Warns once, on standard error, from inside a run that passes its budget; never ends it."""

    budget: Budget
    said: Mapping[str, Any] = field(default_factory=dict)
    _warned: bool = False

    def __call__(self, point: CurvePoint) -> str:
        if point.kl > self.budget.kl and not self._warned:
            self._warned = True
            print(
                f"mlproject: KL {point.kl:.3g} at step {point.step} is beyond the budget of {self.budget.kl:.3g} nats "
                f"of {self.budget.version}: from here on gold fell for others",
                file=sys.stderr,
                flush=True,
            )
        return ""
