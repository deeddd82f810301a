"""Runs experiments: every cell of a grid is a policy run, new or reused; a run of kind `experiment` summarises them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproject.cures.cure import PLAIN
from mlproject.experiments.findings.claims import labelled
from mlproject.experiments.findings.figure import draw
from mlproject.experiments.findings.table import tabulate
from mlproject.experiments.results import Cell, Result, save_result
from mlproject.experiments.spec import Experiment
from mlproject.names import Artifact, Kind, Role, Tag
from mlproject.pipeline.step import Step, fingerprint
from mlproject.plotting.png import png
from mlproject.strict_json import strict_json
from mlproject.tracking.closing import execute
from mlproject.tracking.run_data import curve_of
from mlproject.tracking.runs import StepRun

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation

_METRICS_OF = (Role.PROXY_RM, Role.POOL)
"""Inputs of a policy run whose metrics are part of its cell."""


def experiment_step(experiment: Experiment, cells: Sequence[Step]) -> Step:
    """The experiment as a step: its run lists the cells and stores their curves, a figure and a table."""
    return Step(
        name=f"experiment {experiment.name}",
        kind=Kind.EXPERIMENT,
        version=1,
        params={
            "name": experiment.name,
            "finding": experiment.finding,
            "cells": len(cells),
            "grid": fingerprint({"cells": [step.fingerprint for step in cells]})[:16],
            "shown": strict_json([experiment.figure, experiment.table]),
        },
    )


def run_experiment(
    invocation: Invocation,
    experiment: Experiment,
    cells: Sequence[Step],
    about: Mapping[str, Any],
    results_folder: Path | None,
) -> Step:
    """Run the cells, or reuse their runs, and summarise them.

    Args:
        invocation: runs the steps.
        experiment: the experiment.
        cells: its policy runs.
        about: how it is run, to be stored with the result.
        results_folder: folder outside the tracking server where the result is stored as well, or None.

    Returns:
        the step; its run has the artifacts `cells.csv` and `results/`.
    """
    invocation.make(*cells)
    step = experiment_step(experiment, cells)
    run = invocation.scheduler.start(step)
    if run is None and results_folder is None:
        return step
    result = Result(experiment.name, about, [_cell(invocation, cell) for cell in cells])
    if results_folder is not None:
        save_result(result, results_folder)
    if run is None:
        return step

    def summarize(run: StepRun) -> None:
        save_result(result, run.folder / Artifact.RESULTS)
        shown = labelled(result)
        (run.folder / Artifact.FIGURE).write_bytes(png(draw(shown, experiment.figure)))
        tabulate(shown, experiment.table).to_csv(run.folder / Artifact.TABLE, index=False)
        with (run.folder / Artifact.CELLS).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("cell", "run_id", "reused"))
            for cell in cells:
                outcome = invocation.scheduler.outcomes[cell]
                writer.writerow((cell.name, outcome.run_id, outcome.reused))

    execute(run, summarize)
    invocation.scheduler.finish(step, run)
    return step


def _cell(invocation: Invocation, step: Step) -> Cell:
    run = invocation.client.get_run(invocation.run_id_of(step))
    metrics = dict(run.data.metrics)
    inputs = json.loads(run.data.tags[Tag.INPUTS])
    for role in (role for role in _METRICS_OF if role in inputs):  # a method may need no proxy
        metrics |= invocation.client.get_run(inputs[role]).data.metrics
    return Cell(_settings(step), metrics, curve_of(invocation.client, run.info.run_id))


def _settings(step: Step) -> dict[str, object]:
    """All settings in which cells can differ: options of the run, of its proxy, and of a round of comparisons."""
    proxy = step.inputs.get(Role.PROXY_RM)
    trained = proxy.params if isinstance(proxy, Step) else {}
    plain = {"round": 1, "rounds_from": "", "rounds_data": "", "reward": PLAIN}
    return {**plain, **trained, **step.inherited_params, **step.params}
