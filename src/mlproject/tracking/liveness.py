"""Whether the process that executes a run is alive, and closing the runs of processes that are not."""

from __future__ import annotations

import os
import socket

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.names import Tag
from mlproject.tracking.store import Store, all_experiments, all_runs

_CLOCK_SECONDS = 5.0
"""How far the start time of a process may seem to move when the system's clock is set."""


def process_tags() -> dict[str, str]:
    """Tags that identify this process: host, process id, and start time, since process ids are reused."""
    pid = os.getpid()
    started = psutil.Process(pid).create_time()
    return {Tag.HOST: socket.gethostname(), Tag.PID: str(pid), Tag.PID_STARTED: f"{started:.2f}"}


def is_abandoned(run: Run) -> bool:
    """Whether a run is RUNNING although the process of this host that executed it has ended.

    False for runs of other hosts, since their processes cannot be seen from here.
    """
    tags = run.data.tags
    if run.info.status != "RUNNING" or tags.get(Tag.HOST) != socket.gethostname():
        return False
    try:
        started = psutil.Process(int(tags[Tag.PID])).create_time()
    except psutil.NoSuchProcess:
        return True
    return abs(started - float(tags[Tag.PID_STARTED])) > _CLOCK_SECONDS


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
