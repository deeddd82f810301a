"""Where the states of unfinished runs lie: beside the store on this machine, one folder per run."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import RunInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from mlproject.resume.resumption import Resumption
from mlproject.resume.state_folder import StateFolder
from mlproject.tracking.artifact_files import local_path
from mlproject.tracking.store import Store
from mlproject.tracking.uploaded_states import UploadedStates

_FOLDER, _SCORES = "mlproject-states", "scores"
_UNUSED_SECONDS = 7 * 86_400
"""After which scores that nobody has read are removed, and states whose run the store does not know: for so long they
may be of another store that has the same folder."""
_RUN_ID, _NAME_OF_SCORES = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{64}\.")


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


def scores_folder(store: Store) -> Path:
    """The folder of scores that several runs read, see `mlproject.optimization.pool_scores`."""
    return states_folder(store) / _SCORES


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
    """Remove the states of runs that are finished or deleted, and scores that were of no use for a week.

    What has another name than these have is none of ours: `MLPROJECT_STATES` may name any folder.
    """
    root, scores = states_folder(store), scores_folder(store)
    for file in list(scores.iterdir()) if scores.is_dir() else ():
        with suppress(OSError):
            if _NAME_OF_SCORES.match(file.name) and time.time() - file.stat().st_mtime > _UNUSED_SECONDS:
                file.unlink()
    for folder in list(root.iterdir()) if root.is_dir() else ():
        if _RUN_ID.fullmatch(folder.name) and _is_over(client, folder):
            StateFolder(folder, "").remove()


def _is_over(client: MlflowClient, folder: Path) -> bool:
    try:
        run = client.get_run(folder.name).info
    except MlflowException as error:  # gone for good, or another store's run; or the store does not answer
        is_unknown = error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)
        return is_unknown and time.time() - folder.stat().st_mtime > _UNUSED_SECONDS
    return run.status == "FINISHED" or run.lifecycle_stage == "deleted"
