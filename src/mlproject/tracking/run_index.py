"""The runs of a store by the fingerprints of their steps: which are finished, interrupted or running."""

from __future__ import annotations

from collections.abc import Collection

from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.names import Tag
from mlproject.optimization import EARLY_STOPS
from mlproject.tracking.liveness import Watch, process_tags
from mlproject.tracking.store import Store, all_runs


class RunIndex:
    """Finished and interrupted runs of the project's experiments.

    Read once. A step that is about to be executed is looked up again with `is_running`, since other processes execute
    steps of the same store. A run that ended before its budget counts as finished only if its step asked for that.

    Args:
        client: client of the store.
        store: whose experiments are read.

    Attributes:
        finished, interrupted: run ids by fingerprint.
        ignored_run_ids: ids of finished runs that do not count, because their steps are to be executed again.
        runs: of the store, as they were when the index was made, newest first.
        lost_run_ids: ids of finished runs that have lost artifacts, and are filled anew.
    """

    def __init__(self, client: MlflowClient, store: Store) -> None:
        self._client, self._experiments, self._watch = client, store.experiments, Watch()
        self.finished: dict[str, str] = {}
        self.interrupted: dict[str, str] = {}
        self.ignored_run_ids: set[str] = set()
        self.lost_run_ids: set[str] = set()
        self.runs = all_runs(client, store.experiments)
        self._add(self.runs)

    def ignore(self, fingerprint: str) -> None:
        """Ignore all finished runs of a step, so that it is executed again."""
        while (run_id := self.finished.pop(fingerprint, None)) is not None:
            self.ignored_run_ids.add(run_id)
            self._add(_runs_of(self._client, self._experiments, fingerprint))

    def reopen(self, fingerprint: str) -> None:
        """Let the finished run of a step be filled anew, under its own id: it has lost artifacts."""
        run_id = self.finished.pop(fingerprint)
        self.lost_run_ids.add(run_id)
        self.interrupted[fingerprint] = run_id

    def is_running(self, fingerprint: str) -> bool:
        """Look a step up again, and close its abandoned runs.

        Returns:
            whether a living process is executing it. Otherwise it may be in `finished` or `interrupted` now.
        """
        runs = _runs_of(self._client, self._experiments, fingerprint)
        abandoned = [run.info.run_id for run in runs if self._watch.is_abandoned(run)]
        for run_id in abandoned:
            self._client.set_terminated(run_id, "KILLED")
            self.interrupted.setdefault(fingerprint, run_id)
        self._add(runs)
        return fingerprint not in self.finished and any(
            run.info.status == "RUNNING" and run.info.run_id not in abandoned for run in runs
        )

    def _add(self, runs: list[Run]) -> None:
        for run in runs:
            fingerprint, run_id = run.data.tags.get(Tag.FINGERPRINT), run.info.run_id
            if run_id in self.lost_run_ids:
                continue
            if fingerprint and _is_reusable(run) and run_id not in self.ignored_run_ids:
                self.finished.setdefault(fingerprint, run_id)
            elif fingerprint and run.info.status in ("FAILED", "KILLED"):
                self.interrupted.setdefault(fingerprint, run_id)


def may_execute(
    client: MlflowClient, store: Store, fingerprint: str, run_id: str, ignored_run_ids: Collection[str]
) -> bool:
    """Whether this process may execute a step in a run that it has just opened or resumed.

    Not if another process has finished the step meanwhile. Of several runs opened for a step at the same time the
    oldest counts, and of several processes that resumed one run the last.

    Args:
        client: client of the store.
        store: whose experiments are read.
        fingerprint: of the step.
        run_id: the run that this process has opened or resumed; its tags name this process.
        ignored_run_ids: finished runs that do not count.
    """
    runs = _runs_of(client, store.experiments, fingerprint)
    if any(_is_reusable(run) and run.info.run_id not in ignored_run_ids for run in runs):
        return False
    alive = {(run.info.start_time, run.info.run_id): run for run in runs if is_executed(run)}
    oldest = alive[min(alive)]
    return oldest.info.run_id == run_id and process_tags().items() <= oldest.data.tags.items()


def _runs_of(client: MlflowClient, experiments: list[str], fingerprint: str) -> list[Run]:
    return all_runs(client, experiments, f"tags.`{Tag.FINGERPRINT}` = '{fingerprint}'")


def _is_reusable(run: Run) -> bool:
    """Whether a run is finished, and has the length that its step asked for."""
    is_complete = run.data.tags.get(Tag.COMPLETE) != "false" or run.data.params.get("stop") in EARLY_STOPS
    return run.info.status == "FINISHED" and is_complete


def is_executed(run: Run) -> bool:
    """Whether somebody executes a run, as far as one look can tell."""
    return run.info.status == "RUNNING" and not Watch().is_abandoned(run)
