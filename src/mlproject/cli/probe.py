"""The entry point `probe`."""

from __future__ import annotations

from mlproject.cli.parser import Command
from mlproject.cli.proxies import is_made_here
from mlproject.execution.invocation import Invocation
from mlproject.names import Artifact
from mlproject.pipeline.probes import probes
from mlproject.pipeline.step import RunRef, Step
from mlproject.pipeline.study import plan_proxy, plan_roots
from mlproject.registry.candidates import evaluation_context_of_proxy, run_ref
from mlproject.registry.versions import resolve_proxy
from mlproject.rewards.probes import read_results
from mlproject.rewards.probes import table as probe_table
from mlproject.tracking.run_data import artifact


def probe(command: Command) -> None:
    """Try a proxy RM for cheap hacks, and print what each does to its score."""
    name = command.arguments["proxy"]
    with Invocation(command) as invocation:
        config, client = invocation.config, invocation.client
        proxy: Step | RunRef
        if is_made_here(name):
            roots = plan_roots(config)
            proxy, pool = plan_proxy(config, roots, name, config.seed), roots.pool
        else:
            run = resolve_proxy(client, name)
            context = evaluation_context_of_proxy(client, config, run)
            config, proxy, pool = context.config, run_ref(run), context.pool
        step = probes(config, proxy, pool)
        invocation.make(step)
        invocation.finish()
        run_id = invocation.run_id_of(step)
        invocation.say(f"{step.name}: run {run_id}")
        for line in probe_table(read_results(artifact(client, run_id, Artifact.PROBES))):
            invocation.say(f"  {line}")
