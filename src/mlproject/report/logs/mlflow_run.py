"""The metrics of an MLflow run, whoever logged them."""

from __future__ import annotations

import math

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlproject.errors import UserError
from mlproject.names import MetricPrefix
from mlproject.report.logs.columns import USUAL_NAMES, find
from mlproject.report.logs.log import Log, log_of_series


def read_run(client: MlflowClient, run_id: str, wanted: dict[str, str], source: str) -> Log:
    """Read those metrics of a run that may be meant.

    Args:
        client: of the tracking server.
        run_id: the run.
        wanted: metric by meaning, as the user gave them.
        source: the option and its value, for messages.

    Raises:
        UserError: if there is no such run.
    """
    try:
        run = client.get_run(run_id)
    except MlflowException:
        raise UserError(f"{source}: is neither a file nor a run of this store. Give a path, or a run id.") from None
    names = sorted(run.data.metrics)
    own = [name for name in names if name.startswith(MetricPrefix.CURVE)]
    asked = [name.removeprefix("-") for name in wanted.values()] + list(wanted.values())
    usual = [name for meaning in USUAL_NAMES if meaning not in wanted for name in USUAL_NAMES[meaning]]
    used = {metric for name in [*asked, *usual, *own] for metric in find(name, names)}
    series: dict[str, list[tuple[int, float]]] = {}
    notes: list[str] = []
    for name in names:
        if name not in used:
            series[name] = []
            continue
        entries = sorted(client.get_metric_history(run_id, name), key=lambda entry: entry.timestamp)
        missing = sorted({entry.step for entry in entries if math.isnan(entry.value)})
        if missing:
            at = ", ".join(map(str, missing[:5])) + (", ..." if missing[5:] else "")
            notes.append(f"{name} is not a number at step {at}: left out")
        series[name] = [(entry.step, entry.value) for entry in entries]
    return log_of_series(run_id, "an MLflow run", series, tuple(notes))
