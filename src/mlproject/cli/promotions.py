"""How a command that promotes ends: what was decided is printed, and a refusal becomes the command's exit code."""

from __future__ import annotations

from mlproject.cli.console import show_decision
from mlproject.errors import RefusedError
from mlproject.execution.invocation import Invocation
from mlproject.registry.promote import Decision


def close_promotion(invocation: Invocation, decision: Decision) -> None:
    """Finish the run of a command that promotes, and print the decision."""
    invocation.finish()
    show_decision(invocation, decision)
    invocation.describe()


def refuse_failed(decision: Decision) -> None:
    """Raise the error of a refusal, which names the gates that failed."""
    if not decision.passed:
        failed = ", ".join(result.gate.name for result in decision.results if not result.passed)
        raise RefusedError(f"promotion refused by {failed}; run {decision.run_id}")
