"""A user's table of scored samples in a study: its steps, and what a report says about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.names import Artifact
from mlproject.samples.steps import ComparisonPlan, SamplesRequest, keep_samples, plan_comparison
from mlproject.tracking.closing import execute
from mlproject.tracking.run_data import artifact

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation


def make_comparison(invocation: Invocation, request: SamplesRequest) -> None:
    """Execute or reuse the steps of a comparison of a table's reward models."""
    plan = plan_comparison(invocation.config, request)
    invocation.client.update_run(invocation.run_id, name=f"comparison of {Path(request.path).name}")
    keep_table(invocation, plan, request)
    invocation.make(*plan.policy_runs, plan.law)


def keep_table(invocation: Invocation, plan: ComparisonPlan, request: SamplesRequest) -> None:
    """Say how a table was read, and keep what the steps of a plan compute from."""
    for line in (f"{request.path}: {request.pool.read_as}; {request.pool.size}", *request.pool.notes):
        invocation.say(line)
    run = invocation.scheduler.start(plan.samples)
    if run is not None:
        execute(run, lambda run: keep_samples(run, request.pool))
        invocation.scheduler.finish(plan.samples, run)


def stored_facts(client: MlflowClient, run: Run) -> dict[str, Any]:
    """What a run of kind `scored-samples` wrote about its table."""
    facts = json.loads((artifact(client, run.info.run_id) / Artifact.SCORED_SAMPLES_INFO).read_text(encoding="utf-8"))
    return {name: value for name, value in facts.items() if not name.startswith("shown")}


def samples_facts(client: MlflowClient, run: Run) -> dict[str, str]:
    """Facts about a table, as text by label."""
    facts = stored_facts(client, run)
    least, most = facts["least_responses"], facts["most_responses"]
    each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return {
        "Table": run.data.params["samples_path"],
        "Read": facts["read_as"].removeprefix("read "),
        "Samples": f"{facts['prompts']:,} prompts with {each} responses each, {facts['responses']:,} in all",
        "Gold": f"mean {facts['gold_mean']:.4g}, standard deviation {facts['gold_sd']:.4g}, in the table's units",
        **({"Left out": "; ".join(facts["notes"])} if facts["notes"] else {}),
    }
