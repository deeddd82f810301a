"""All runs of the project's experiments by fingerprint: what is finished, what was cut off, what somebody is at."""

from __future__ import annotations

from collections.abc import Collection

from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.names import Tag
from mlproject.optimization import EARLY_STOPS
from mlproject.tracking.liveness import is_abandoned, process_tags
from mlproject.tracking.store import Store, all_runs


class RunIndex:
    """Read once, and looked at again for a step that is about to be made: other processes make steps too.

    A run that ended before its budget counts as finished only where the step asked for just that.

    Attributes:
        finished, cut_off: run ids by fingerprint.
        ignored_run_ids: ids of finished runs whose steps are to be made anew.
    """

    def __init__(self, client: MlflowClient, store: Store) -> None:
        self._client, self._experiments = client, store.experiments
        self.finished: dict[str, str] = {}
        self.interrupted: dict[str, str] = {}
        self.ignored_run_ids: set[str] = set()
        self._enter(all_runs(client, store.experiments))

    def ignore(self, fingerprint: str) -> None:
        """Let a step be made anew, although it is made already."""
        while (run_id := self.finished.pop(fingerprint, None)) is not None:
            self.ignored_run_ids.add(run_id)
            self._enter(_runs_of(self._client, self._experiments, fingerprint))

    def is_running(self, fingerprint: str) -> bool:
        """Look at a step again: finished or cut off since, or, if True, in the hands of another living process."""
        runs = _runs_of(self._client, self._experiments, fingerprint)
        for run in runs:
            if is_abandoned(run):
                self._client.set_terminated(run.info.run_id, "KILLED")
                self.interrupted.setdefault(fingerprint, run.info.run_id)
        self._enter(runs)
        return fingerprint not in self.finished and any(_is_alive(run) for run in runs)

    def _enter(self, runs: list[Run]) -> None:
        for run in runs:
            mark = run.data.tags.get(Tag.FINGERPRINT)
            if mark and _is_whole(run) and run.info.run_id not in self.ignored_run_ids:
                self.finished.setdefault(mark, run.info.run_id)
            elif mark and run.info.status in ("FAILED", "KILLED"):
                self.interrupted.setdefault(mark, run.info.run_id)


def may_execute(
    client: MlflowClient, store: Store, fingerprint: str, run_id: str, ignored_run_ids: Collection[str]
) -> bool:
    """Whether this process may fill a run that it has just opened or taken up.

    It may not where another process has finished the step meanwhile. Of several runs opened for a step at once the
    oldest one counts, and of several processes that took one up the last.
    """
    runs = _runs_of(client, store.experiments, fingerprint)
    if any(_is_whole(run) and run.info.run_id not in ignored_run_ids for run in runs):
        return False
    alive = {(run.info.start_time, run.info.run_id): run for run in runs if _is_alive(run)}
    oldest = alive[min(alive)]
    mine = process_tags()
    return oldest.info.run_id == run_id and all(oldest.data.tags.get(name) == value for name, value in mine.items())


def _runs_of(client: MlflowClient, experiments: list[str], fingerprint: str) -> list[Run]:
    return all_runs(client, experiments, f"tags.`{Tag.FINGERPRINT}` = '{fingerprint}'")


def _is_whole(run: Run) -> bool:
    as_asked = run.data.tags.get(Tag.COMPLETE) != "false" or run.data.params.get("stop") in EARLY_STOPS
    return run.info.status == "FINISHED" and as_asked


def _is_alive(run: Run) -> bool:
    return run.info.status == "RUNNING" and not is_abandoned(run)
