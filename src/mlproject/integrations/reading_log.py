"""Where a trainer's readings go: two files in its output folder, its MLflow run if it has one, and the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mlproject.curve import Curve, CurvePoint
from mlproject.errors import NotFiniteError
from mlproject.monitoring.alarms import NOT_A_NUMBER
from mlproject.monitoring.metrics import summaries
from mlproject.monitoring.monitor import MonitorReading, OveroptimizationMonitor
from mlproject.names import Artifact, Metric, Tag, TagPrefix
from mlproject.names.quoting import one_line
from mlproject.tracking.trainer_run import TrainerRun

logger = logging.getLogger(__name__)


class ReadingLog:
    """Writes down the readings of one training.

    Args:
        monitor: gives the readings.
        folder: the trainer's output folder. Takes the points for `python -m mlproject fit`, and every prompt's own
            score.
        run: the MLflow run that the trainer reports to; None: there is none.
    """

    def __init__(self, monitor: OveroptimizationMonitor, folder: Path, run: TrainerRun | None) -> None:
        self._monitor, self._run = monitor, run
        self._table, self._curve = folder / Artifact.TRAINER_TABLE, folder / "overoptimization" / Artifact.CURVE
        self._raised: set[str] = set()
        self._told_problems = False

    def earlier_points(self, step: int) -> list[CurvePoint]:
        """Points before a step that an interrupted training has left in the folder."""
        if not self._curve.is_file():
            return []
        return [point for point in Curve.load(self._curve) if point.step < step]

    def save_points(self) -> None:
        """Write all points to the two files."""
        self._curve.parent.mkdir(parents=True, exist_ok=True)
        self._monitor.curve().save(self._curve)
        self._monitor.save_csv(self._table)

    def write(
        self,
        reading: MonitorReading,
        cost: Mapping[str, float],
        stopped: bool,
        problems: Sequence[NotFiniteError] = (),
    ) -> None:
        """Write a reading to the log and to the run; an alarm's reason is given once, when it is first raised.

        Args:
            reading: the latest.
            cost: metrics `monitor/*` of the evaluation.
            stopped: whether the training ends here.
            problems: what was nan or infinite, and where it came from.
        """
        step = reading.point.step
        seconds = cost[Metric.MONITOR_SECONDS]
        logger.info("overoptimization: %s (%.1f s)", reading.line(self._monitor.truth), seconds)
        for problem in problems:
            logger.warning("overoptimization: %s", _line(problem))
        new_alarms = [alarm for alarm in reading.alarms if alarm.name not in self._raised]
        self._raised |= {alarm.name for alarm in new_alarms}
        for alarm in new_alarms:
            logger.warning("overoptimization: step %d, %s: %s", step, alarm.name, _line(alarm.reason))
        if self._run is None:
            return
        self._run.log_metrics({**self._monitor.metrics(reading), **cost}, step)
        tags = {TagPrefix.ALARM + alarm.name: f"step {step}: {_line(alarm.reason)}" for alarm in new_alarms}
        if problems and not self._told_problems:
            self._told_problems = True
            tags[TagPrefix.ALARM + NOT_A_NUMBER] = f"step {step}: {'; '.join(map(_line, problems))}"
        if stopped:
            tags[Tag.COMPLETE] = "false"
        if tags:
            self._run.set_tags(tags)

    def name_peak(self, step: int, folder: Path) -> None:
        """Tell the log and the run where the policy of the highest score is.

        Args:
            step: of its point.
            folder: that holds it.
        """
        logger.info("overoptimization: the policy of step %d is the best so far, saved in %s", step, folder)
        if self._run is not None:
            self._run.set_tags({Tag.PEAK_STEP: str(step), Tag.PEAK_FOLDER: str(folder.absolute())})

    def finish(self, has_gold: bool) -> None:
        """Write peak, drop and law of the whole curve, and both files, to the run.

        Args:
            has_gold: False: the curve has no peak to speak of.
        """
        if self._run is None:
            return
        known = [point for point in self._monitor.points if np.isfinite([point.kl, point.gold]).all()]
        if has_gold and known:
            self._run.log_metrics(summaries(Curve.from_points(known), self._monitor.method), known[-1].step)
        for path in (self._table, self._curve):
            self._run.log_artifact(path)


def _line(text: object) -> str:
    """What may quote a prompt or name a scorer, as one line of a log or tag."""
    return one_line(str(text), 500)
