"""What states and leases cost a step of the default study: alternating executions with and without them.

    python benchmarks/resume_overhead.py --store FOLDER --kind policy-run --repeats 5 --checkpoint_seconds 5

Inputs that FOLDER lacks are executed first. Two figures per pair: the ratio of wall time and of CPU seconds, which a
busy machine blurs, and the time that was spent in saving states and in renewing the lease, as a share of the step's.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mlproject.config.schema import load_config
from mlproject.execution.executors import InProcessExecutor, LocalExecutor
from mlproject.execution.fork_server import process_context
from mlproject.execution.progress import Progress
from mlproject.execution.scheduler import Scheduler
from mlproject.names import Tag
from mlproject.pipeline.step import Step, upstream
from mlproject.pipeline.study import plan_study
from mlproject.resume.resumption import Resumption
from mlproject.tracking.lease import TERM_SECONDS, Lease
from mlproject.tracking.store import Store, open_store

NEVER = 1e9
PARTS = {"states": (Resumption, "save"), "lease": (Lease, "_renew")}


def timed(spent: dict[str, list[float]], name: str) -> None:
    """Let a method add its times to `spent`: calls, wall seconds, CPU seconds of its thread."""
    owner, method = PARTS[name]
    original: Callable[..., Any] = getattr(owner, method)

    def call(*arguments: Any, **options: Any) -> Any:
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return original(*arguments, **options)
        finally:
            spent[name][0] += 1
            spent[name][1] += time.perf_counter() - wall
            spent[name][2] += time.thread_time() - cpu

    setattr(owner, method, call)


def execute(store: Store, step: Step, checkpoint_seconds: float, lease_seconds: float, told: Connection) -> None:
    """Execute a step in this process, and tell its wall time, CPU seconds, and what states and lease took of them."""
    spent: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for name in PARTS:
        timed(spent, name)
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    Scheduler(store, "", InProcessExecutor(), Progress(), checkpoint_seconds, lease_seconds).run([step])
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told.send((time.perf_counter() - wall, cpu, dict(spent)))


def execute_anew(store: Store, step: Step, checkpoint_seconds: float, lease_seconds: float) -> tuple[float, float, Any]:
    """Execute a step in a process of its own, whatever runs it has."""
    client = store.client()
    for run in client.search_runs(store.experiments, f"tags.`{Tag.FINGERPRINT}` = '{step.fingerprint}'"):
        client.delete_run(run.info.run_id)
    context = process_context()
    told, tell = context.Pipe(duplex=False)
    process = context.Process(target=execute, args=(store, step, checkpoint_seconds, lease_seconds, tell))
    process.start()
    tell.close()
    result: tuple[float, float, Any] = told.recv()
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--kind", default="policy-run")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--checkpoint_seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{arguments.store.absolute()}/mlflow.db"
    store = open_store("overoptimization")
    steps = upstream(plan_study(load_config("laptop", {"rm_sizes": "1k", "seeds": "0", "methods": "ppo"})).steps)
    step = next(step for step in steps if step.kind == arguments.kind)
    inputs = Scheduler(store, "", LocalExecutor(), Progress())
    inputs.run([source for source in step.inputs.values() if isinstance(source, Step)])
    inputs.close()
    ratios = []
    for repeat in range(arguments.repeats):
        pair = {}
        for saves in (True, False) if repeat % 2 == 0 else (False, True):
            seconds = (arguments.checkpoint_seconds, TERM_SECONDS) if saves else (0.0, NEVER)
            pair[saves] = execute_anew(store, step, *seconds)
        (wall, cpu, spent), (wall_without, cpu_without, _) = pair[True], pair[False]
        ratios.append((wall / wall_without, cpu / cpu_without))
        shares = "; ".join(
            f"{name} {int(calls)} times: {1000 * in_wall:.0f} ms = {in_wall / wall:.3%} of the wall time, "
            f"{1000 * in_cpu:.0f} ms = {in_cpu / cpu:.3%} of the CPU time"
            for name, (calls, in_wall, in_cpu) in spent.items()
        )
        print(
            f"{step.name}, load {os.getloadavg()[0]:.1f}: wall {wall:.1f} / {wall_without:.1f} s, "
            f"CPU {cpu:.1f} / {cpu_without:.1f} s; {shares}",
            flush=True,
        )
    wall, cpu = (statistics.median(each) for each in zip(*ratios, strict=True))
    print(f"with / without, medians of {arguments.repeats}: wall {wall:.3f}, CPU {cpu:.3f}")


if __name__ == "__main__":
    main()
