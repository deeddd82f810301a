"""What the entry point `measure` does: somebody's finished training becomes one curve."""

from __future__ import annotations

from mlproject.cli.console import show_curve_links, show_policy_run
from mlproject.cli.parser import Command
from mlproject.cli.proxies import is_made_here
from mlproject.execution.invocation import Invocation
from mlproject.options.series import parse_series
from mlproject.pipeline.external.series import checked_items, method_of, plan_series
from mlproject.pipeline.law import law
from mlproject.pipeline.step import RunRef, Step
from mlproject.pipeline.study import plan_proxy, plan_roots
from mlproject.registry.candidates import run_ref
from mlproject.registry.versions import resolve_proxy
from mlproject.report.study_report import write_report
from mlproject.tracking.run_data import curve_of


def measure(command: Command) -> None:
    """Measure the checkpoints of a training, and make one curve of them."""
    config, series = command.config, parse_series(command.arguments["checkpoints"])
    method, name = method_of(command.arguments["method"]), command.arguments["proxy"]
    items = checked_items(series, config.policy)  # before a store is opened
    with Invocation(command) as invocation:
        roots = plan_roots(config)
        proxy: Step | RunRef
        if is_made_here(name):
            proxy = plan_proxy(config, roots, name, config.seed)
        else:
            proxy = run_ref(resolve_proxy(invocation.client, name))
        plan = plan_series(config, items, proxy, roots.pool, method)
        steps = ", ".join(str(item.step) for item in items)
        left_out = f"; left out: {', '.join(series.left_out)}, whose names end in no step" if series.left_out else ""
        invocation.say(f"{len(items)} checkpoints at steps {steps}; KL from {config.policy}{left_out}")
        invocation.make(*plan.points, plan.policy_run, law(config, [plan.policy_run]))
        write_report(invocation)
        show_policy_run(invocation, plan.policy_run)
        peak = curve_of(invocation.client, invocation.run_id_of(plan.policy_run)).peak()
        folder = next(item.path for item in items if item.step == peak.step)
        invocation.say(f"  highest gold: step {peak.step}, {folder}")
        show_curve_links(invocation)
