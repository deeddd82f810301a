"""Steps as jobs of Slurm, as far as that can be told without one: its commands are stood in for by short scripts.

They follow what submitit calls: `sbatch FILE` prints a number and starts the file, `srun` starts a command, `sacct`
says which jobs are over, `scancel` ends one. Slurm itself is nowhere here.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.execution.toy_steps import toy

from mlproject.execution.engine import EngineExecutor
from mlproject.execution.progress import Progress
from mlproject.execution.resources import ResourceTable
from mlproject.execution.scheduler import Scheduler
from mlproject.names import Tag
from mlproject.pipeline.step import Run
from mlproject.resume.state import State
from mlproject.tracking.store import Store

COMMANDS = {
    "sbatch": """
number=$(( $(ls jobs | wc -l) + 1 )); mkdir jobs/$number; cp "$1" jobs/$number/script
SLURM_JOB_ID=$number SLURM_NTASKS=1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1 \\
    setsid bash "$1" > jobs/$number/said 2>&1 &
echo $! > jobs/$number/group
echo "Submitted batch job $number"
""",
    "srun": """
while case "$1" in -*) true;; *) false;; esac; do case "$1" in --output|--error) shift;; esac; shift; done
exec "$@"
""",
    "sacct": """
echo "JobID|State|NodeList"
for job in jobs/*; do
    state=COMPLETED; kill -0 -$(cat $job/group) 2> /dev/null && state=RUNNING
    echo "${job#jobs/}|$state|here"
done
""",
    "scancel": """kill -TERM -$(cat jobs/${*: -1}/group)""",
}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "jobs").mkdir()
    for name, script in COMMANDS.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/bash\ncd {tmp_path}\n{script}")
        path.chmod(0o755)
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "src")]))
    return tmp_path


def count_through_time_limits(run: Run) -> None:
    """Count to ten, a number a state; the first job is told in the middle that its time is over."""
    trace = Path(run.params["value"])
    row = run.resumption.row("numbers")
    for number in range(10):
        value = row.next(lambda number=number: State(values={"number": number, "by": os.getpid()})).values
        with trace.open("a") as file:
            file.write(f"{number} {value['by']}\n")
        if number == 4 and value["by"] == os.getpid():
            os.kill(os.getpid(), signal.SIGUSR2)
            time.sleep(0.1)
    run.progress(1.0)


@pytest.mark.slow
def test_a_job_that_reaches_its_time_limit_is_submitted_again_and_goes_on(store: Store, cluster: Path) -> None:
    pytest.importorskip("submitit")
    from mlproject.execution.submitit_engine import SubmititEngine

    resources = cluster / "resources.yaml"
    resources.write_text("default: {num_cpus: 2, memory_gb: 3, timeout_min: 5, slurm_partition: long}")
    engine = SubmititEngine("slurm", ResourceTable(str(resources)), cluster / "files", 2)
    step = toy("counts", str(cluster / "trace"), fn=count_through_time_limits, version=7001)
    lines: list[str] = []
    scheduler = Scheduler(store, "a study", EngineExecutor(engine, lines.append), Progress(), checkpoint_seconds=60)
    outcomes = scheduler.run([step])
    scheduler.close()

    [run] = store.client().search_runs(store.experiments, f"tags.`{Tag.FINGERPRINT}` = '{step.fingerprint}'")
    assert (run.info.run_id, run.info.status) == (outcomes[step].run_id, "FINISHED")
    assert lines == ["counts: its job was lost or ended by the engine, and is submitted again"]
    numbers = [line.split() for line in (cluster / "trace").read_text().splitlines()]
    first = numbers[0][1]
    assert [number for number, by in numbers if by == first] == [*"01234", *"012345"], "read again, not made again"
    assert [number for number, by in numbers if by != first] == [*"6789"]
    scripts = [path.read_text() for path in sorted((cluster / "jobs").glob("*/script"))]
    assert len(scripts) == 2
    for option in ("--cpus-per-task=2", "--mem=3GB", "--time=5", "--partition=long"):
        assert all(f"#SBATCH {option}\n" in script for script in scripts), option
    assert not (cluster / "files").exists()
