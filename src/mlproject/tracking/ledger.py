"""All runs of the project's experiments by fingerprint: what is finished, what was cut off, what somebody is at."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.steps.policy_run import COMPLETE
from mlproject.tracking.owner import is_abandoned, owner_tags
from mlproject.tracking.runs import FINGERPRINT
from mlproject.tracking.store import Store, all_runs


class Ledger:
    """Read once, and looked at again for a step that is about to be made: other processes make steps too.

    A run that ended before its budget counts as finished only where the step asked for just that.

    Attributes:
        finished, cut_off: run ids by fingerprint.
    """

    def __init__(self, client: MlflowClient, store: Store) -> None:
        self._client, self._experiments = client, store.experiments
        self.finished: dict[str, str] = {}
        self.cut_off: dict[str, str] = {}
        self._enter(all_runs(client, store.experiments))

    def is_taken(self, fingerprint: str) -> bool:
        """Look at a step again: finished or cut off since, or, if True, in the hands of another living process."""
        runs = all_runs(self._client, self._experiments, f"tags.`{FINGERPRINT}` = '{fingerprint}'")
        for run in runs:
            if is_abandoned(run):
                self._client.set_terminated(run.info.run_id, "KILLED")
                self.cut_off.setdefault(fingerprint, run.info.run_id)
        self._enter(runs)
        return fingerprint not in self.finished and any(_is_alive(run) for run in runs)

    def _enter(self, runs: list[Run]) -> None:
        for run in runs:
            mark = run.data.tags.get(FINGERPRINT)
            whole = run.data.tags.get(COMPLETE) != "false" or run.data.params.get("stop") == "forecast"
            if mark and run.info.status == "FINISHED" and whole:
                self.finished.setdefault(mark, run.info.run_id)
            elif mark and run.info.status in ("FAILED", "KILLED"):
                self.cut_off.setdefault(mark, run.info.run_id)


def is_first(client: MlflowClient, store: Store, fingerprint: str, run_id: str) -> bool:
    """Whether this process may fill a run that it has just opened or taken up.

    Of several runs opened for a step at once the oldest one counts, and of several processes that took one up the last.
    """
    runs = all_runs(client, store.experiments, f"tags.`{FINGERPRINT}` = '{fingerprint}'")
    alive = {(run.info.start_time, run.info.run_id): run for run in runs if _is_alive(run)}
    oldest = alive[min(alive)]
    mine = owner_tags()
    return oldest.info.run_id == run_id and all(oldest.data.tags.get(name) == value for name, value in mine.items())


def _is_alive(run: Run) -> bool:
    return run.info.status == "RUNNING" and not is_abandoned(run)
