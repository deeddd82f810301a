"""Which process fills a run; and the reaper of runs whose process is gone."""

from __future__ import annotations

import os
import socket

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.names import Tag
from mlproject.tracking.store import Store, all_experiments, all_runs

_CLOCK_SECONDS = 5.0
"""How far a process's start time may seem to move when the system's clock is set."""


def process_tags() -> dict[str, str]:
    """Tags that name this process; a process id may be given out again, so its start time belongs to the name."""
    pid = os.getpid()
    return {
        Tag.HOST: socket.gethostname(),
        Tag.PID: str(pid),
        Tag.PID_STARTED: f"{psutil.Process(pid).create_time():.2f}",
    }


def is_abandoned(run: Run) -> bool:
    """True where a RUNNING run was filled by a process of this machine that no longer exists."""
    tags = run.data.tags
    if run.info.status != "RUNNING" or tags.get(Tag.HOST) != socket.gethostname():
        return False
    try:
        started = psutil.Process(int(tags[Tag.PID])).create_time()
    except psutil.NoSuchProcess:
        return True
    return abs(started - float(tags[Tag.PID_STARTED])) > _CLOCK_SECONDS


def reap(client: MlflowClient, store: Store) -> list[str]:
    """Mark abandoned runs KILLED (a killed process cannot do it itself). Returns their ids."""
    running = all_runs(client, all_experiments(client), f"attributes.status = 'RUNNING' and tags.`{Tag.HOST}` != ''")
    abandoned = [run.info.run_id for run in running if is_abandoned(run)]
    for run_id in abandoned:
        client.set_terminated(run_id, "KILLED")
    return abandoned
