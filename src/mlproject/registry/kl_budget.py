"""How far to optimize against a registered reward model: the KL at which earlier policies reached their peak."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from mlflow import MlflowClient

from mlproject.curve import Curve, CurvePoint
from mlproject.names import VersionTagPrefix
from mlproject.optimization.stopping import StopDecision
from mlproject.registry.versions import resolve_version


@dataclass(frozen=True)
class KLBudget:
    """The KL budget of a registered version.

    Attributes:
        kl: nats.
        version: name and number of the version, for messages.
    """

    kl: float
    version: str

    def summary(self, curve: Curve) -> str:
        """One line: whether a curve stayed within the budget, and if not, what passing it did to gold."""
        beyond = [point for point in curve if point.kl > self.kl]
        if not beyond:
            return f"KL stayed within the budget of {self.kl:.3g} nats of {self.version}"
        first, last = beyond[0], beyond[-1]
        return (
            f"warning: the KL budget of {self.kl:.3g} nats of {self.version} was passed at step {first.step}; gold "
            f"{first.gold:.2f} there, {last.gold:.2f} at the end ({last.kl:.3g} nats)"
        )


def kl_budget_of(client: MlflowClient, proxy: str, method: str) -> KLBudget | None:
    """The KL budget that the tags of a registered version name for a method.

    Args:
        client: of the store.
        proxy: value of the option `proxy`; only `models:/...` names a version.
        method: of the policy run.

    Returns:
        the budget; None where the proxy is no registered version, or its tags name none for the method.
    """
    if not proxy.startswith("models:/"):
        return None
    version = resolve_version(client, proxy)
    try:
        kl = float(version.tags.get(VersionTagPrefix.KL_BUDGET + method, "nan"))
    except ValueError:
        return None
    return KLBudget(kl, f"{version.name} version {version.version}") if math.isfinite(kl) and kl > 0 else None


@dataclass
class KLBudgetWarning:
    """A stop rule that never stops: it warns once, on standard error, when a run passes a KL budget.

    Attributes:
        budget: of the proxy's registered version.
    """

    budget: KLBudget
    _has_warned: bool = False

    def __call__(self, point: CurvePoint) -> StopDecision | None:
        if point.kl > self.budget.kl and not self._has_warned:
            self._has_warned = True
            print(
                f"mlproject: warning: KL {point.kl:.3g} at step {point.step} is beyond the budget of "
                f"{self.budget.kl:.3g} nats of {self.budget.version}, where gold of earlier policies began to fall",
                file=sys.stderr,
                flush=True,
            )
        return None
