"""Whether the process that executes a run is alive, and closing the runs of processes that are not."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.names import Tag
from mlproject.tracking.processes import has_ended, this_host, this_process
from mlproject.tracking.store import Store, all_experiments, all_runs


def process_tags() -> dict[str, str]:
    """Tags that identify this process: host, process id, and start time, since process ids are reused."""
    pid, started = this_process()
    return {Tag.HOST: this_host(), Tag.PID: str(pid), Tag.PID_STARTED: f"{started:.2f}"}


def is_abandoned(run: Run) -> bool:
    """Whether a run is RUNNING although the process of this host that executed it has ended.

    False for runs of other hosts, since their processes cannot be seen from here.
    """
    tags = run.data.tags
    if run.info.status != "RUNNING" or tags.get(Tag.HOST) != this_host():
        return False
    return has_ended(int(tags[Tag.PID]), float(tags[Tag.PID_STARTED]))


def reap(client: MlflowClient, store: Store) -> list[str]:
    """Mark abandoned runs as KILLED, which a killed process cannot do itself.

    Returns:
        ids of these runs.
    """
    running = all_runs(client, all_experiments(client), f"attributes.status = 'RUNNING' and tags.`{Tag.HOST}` != ''")
    abandoned = [run.info.run_id for run in running if is_abandoned(run)]
    for run_id in abandoned:
        client.set_terminated(run_id, "KILLED")
    return abandoned
