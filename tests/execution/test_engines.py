"""Steps as jobs of an engine: the same runs, failures that arrive, and jobs that are lost and submitted again."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from concurrent.futures import CancelledError, wait
from contextlib import suppress
from pathlib import Path

import pytest
from tests.execution.toy_steps import add_slowly, assignment, diamond, divide_by_zero, scheduler, total, toy

from mlproject.errors import UserError
from mlproject.execution.engine import EngineExecutor
from mlproject.execution.resources import ResourceTable
from mlproject.names import Tag
from mlproject.pipeline.step import Run
from mlproject.tracking.store import Store

VERSIONS = itertools.count(9000)  # each makes another step


def ignore(share: float) -> None: ...


@pytest.fixture(scope="module", params=["submitit", "ray"])
def engine(request, tmp_path_factory):
    pytest.importorskip(request.param)
    with pytest.MonkeyPatch.context() as patch:
        root = Path(__file__).parents[2]
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "src")]))  # for the processes of the engine
        if request.param == "ray":
            from mlproject.execution.ray_engine import RayEngine

            engine = RayEngine("", ResourceTable(""), 2)
        else:
            from mlproject.execution.submitit_engine import SubmititEngine

            engine = SubmititEngine("local", ResourceTable(""), tmp_path_factory.mktemp("jobs"), 2)
        yield engine
        engine.close()
        if request.param == "submitit":
            assert len(list(engine._folder.glob("*_log.err"))) <= 1, "files are kept of the job that was killed alone"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "a-host.invalid:6379"])
def test_a_cluster_that_is_not_there_is_said_at_once(address: str) -> None:
    """Ray would wait for minutes and then end the process."""
    pytest.importorskip("ray")
    from mlproject.execution.ray_engine import RayEngine

    begun = time.monotonic()
    with pytest.raises(UserError, match=r"^engine_address=.*: must be a Ray cluster that answers \(.*Start it with"):
        RayEngine(address, ResourceTable(""))
    assert time.monotonic() - begun < 15


def run_of(store: Store, step):
    query = f"tags.`{Tag.FINGERPRINT}` = '{step.fingerprint}'"
    return store.client().search_runs(store.experiments, query)


@pytest.mark.slow
def test_steps_run_where_the_engine_has_room(store: Store, engine) -> None:
    step = toy("one", 5, version=next(VERSIONS))
    outcomes = scheduler(store, EngineExecutor(engine)).run([step])
    assert total(store, outcomes[step].run_id) == 5
    [run] = run_of(store, step)
    assert run.info.status == "FINISHED" and run.data.tags[Tag.PID] != str(os.getpid())


@pytest.mark.slow
def test_inputs_come_before_what_reads_them(store: Store, engine) -> None:
    last = diamond(3, next(VERSIONS))
    outcomes = scheduler(store, EngineExecutor(engine)).run([last])
    assert total(store, outcomes[last].run_id) == 136


@pytest.mark.slow
def test_what_a_step_raises_arrives(store: Store, engine) -> None:
    step = toy("divided", 1, fn=divide_by_zero, version=next(VERSIONS))
    with pytest.raises(ZeroDivisionError, match="planted"):
        EngineExecutor(engine).submit(assignment(store, step), ignore).result()
    assert [run.info.status for run in run_of(store, step)] == ["FAILED"]


def die_once(run: Run) -> None:
    """Kill this process, unless somebody was killed here before."""
    trace = Path(run.params["value"])
    if not trace.exists():
        trace.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_job_that_is_lost_is_submitted_again_under_its_run_id(store: Store, engine, tmp_path) -> None:
    step = toy("dies once", str(tmp_path / "trace"), fn=die_once, version=next(VERSIONS))
    lines: list[str] = []
    outcomes = scheduler(store, EngineExecutor(engine, lines.append)).run([step])
    [run] = run_of(store, step)
    assert (run.info.run_id, run.info.status) == (outcomes[step].run_id, "FINISHED")
    assert lines == ["dies once: its job was lost or ended by the engine, and is submitted again"]


@pytest.mark.slow
def test_an_interruption_reaches_the_job_and_its_run_is_closed(store: Store, engine) -> None:
    step = toy("slow", 1, fn=add_slowly, version=next(VERSIONS))
    executor, shares, begun = EngineExecutor(engine), [], threading.Event()

    def report(share: float) -> None:
        if share:  # a step that has begun says 0
            shares.append(share)
            begun.set()

    future = executor.submit(assignment(store, step), report)
    assert begun.wait(60)
    executor.interrupt()
    since = time.monotonic()
    with suppress(CancelledError):
        wait([future], timeout=30)
        future.result()
    assert time.monotonic() - since < 15
    [run] = run_of(store, step)
    assert run.info.status == "KILLED"
    assert 0 < shares[0] < 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("ppoo:\n  num_gpus: 1", "'ppoo' must be one of"),
        ("policy-run: 3", "policy-run must be a mapping"),
        ("policy-run:\n  num_gpus: many", "num_gpus of policy-run must be a number"),
        ("- 1", "must be a mapping of kinds"),
        ("default: {1: 2}", "default must be a mapping"),
        ("default: {a: 1, a: 2}", r"it has a twice\). See docs/cluster.md"),
    ],
)
def test_a_file_of_resources_that_says_something_else_is_refused_in_one_line(content, said, tmp_path) -> None:
    (tmp_path / "resources.yaml").write_text(content)
    with pytest.raises(UserError, match=said):
        ResourceTable(str(tmp_path / "resources.yaml"))


def test_resources_are_those_of_the_kind_over_the_default(tmp_path) -> None:
    content = "default: {num_cpus: 2, memory_gb: 4}\nlaw: {num_gpus: 0.5, slurm_partition: long}"
    (tmp_path / "resources.yaml").write_text(content)
    needs = ResourceTable(str(tmp_path / "resources.yaml")).of(toy("a law"))
    assert (needs.num_cpus, needs.num_gpus, needs.memory_gb) == (2, 0.5, 4)
    assert needs.further == {"slurm_partition": "long"}
    assert ResourceTable("").of(toy("a law")).num_cpus == 1
