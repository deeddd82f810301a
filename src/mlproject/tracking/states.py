"""Where the states of unfinished runs lie: beside the store on this machine, one folder per run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import RunInfo
from mlflow.exceptions import MlflowException

from mlproject.resume.resumption import Resumption
from mlproject.resume.state_folder import StateFolder
from mlproject.tracking.artifact_files import local_path
from mlproject.tracking.store import Store
from mlproject.tracking.uploaded_states import UploadedStates

_FOLDER = "mlproject-states"


def states_folder(store: Store) -> Path:
    """The folder of all states: beside the SQLite database, or, for a server, in the user's cache.

    `MLPROJECT_STATES` names another one, on a disk that all machines of a cluster see, for example.
    """
    if named := os.environ.get("MLPROJECT_STATES"):
        return Path(named).expanduser().absolute()
    if store.folder is not None:
        return store.folder / _FOLDER
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mlproject" / "states" / hashlib.sha256(store.tracking_uri.encode()).hexdigest()[:16]


def resumption_of(
    store: Store, run: RunInfo, fingerprint: str, seconds: float, check: Callable[[], None]
) -> Resumption:
    """The states of a run.

    Args:
        store: of the run.
        run: which run.
        fingerprint: of its step.
        seconds: time between two states; 0: none is saved or restored.
        check: called before a state is written; raises where the run is another process's.
    """
    processes = os.environ.get("WORLD_SIZE", "1")  # each has random streams of its own
    path, owner = states_folder(store) / run.run_id, f"{fingerprint} in {processes} processes"
    is_kept_here = not seconds or local_path(run.artifact_uri) is not None
    folder = (
        StateFolder(path, owner) if is_kept_here else UploadedStates(path, owner, run.artifact_uri, store.tracking_uri)
    )
    return Resumption(folder, seconds, check=check)


def sweep_states(client: MlflowClient, store: Store) -> None:
    """Remove the states of runs that are finished or deleted."""
    root = states_folder(store)
    for folder in list(root.iterdir()) if root.is_dir() else ():
        try:
            run = client.get_run(folder.name).info
            is_over = run.status == "FINISHED" or run.lifecycle_stage == "deleted"
        except MlflowException:
            is_over = True  # a run of this store that is gone for good
        if is_over:
            StateFolder(folder, "").remove()
