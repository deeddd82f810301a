"""Writes the report of a study to its run; a study with the same runs as an earlier one copies its report."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow.artifacts
from mlflow.exceptions import MlflowException

from mlproject.errors import UserError
from mlproject.names import Artifact, Kind, Tag
from mlproject.pipeline.step import fingerprint
from mlproject.report.collect import collect
from mlproject.report.figures import save_figures
from mlproject.report.page import render
from mlproject.tracking.store import all_experiments, all_runs

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation

_VERSION = 2


def write_report(invocation: Invocation) -> None:
    """Finish the run of a study with `steps.json`, `report.html` and the figures."""
    members = invocation.member_rows()
    study_fingerprint = fingerprint({"version": _VERSION, "members": sorted(row["run_id"] for row in members)})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        earlier = _same_study(invocation, study_fingerprint)
        files = _copy(invocation, earlier) if earlier else render_report(invocation, members, folder)
        invocation.finish(files)
    invocation.client.set_tag(invocation.run_id, Tag.STUDY_FINGERPRINT, study_fingerprint)
    invocation.say(f"report: {invocation.artifact(Artifact.REPORT)}")


def report_of_run(invocation: Invocation, study_run: str, folder: Path) -> dict[str, Path]:
    """Render the report of an earlier study.

    Args:
        invocation: gives access to the store.
        study_run: run id, or `latest`.
        folder: where the files are written.

    Returns:
        the files by artifact name.

    Raises:
        UserError: if there is no such study.
    """
    if study_run == "latest":
        studies = all_runs(
            invocation.client, all_experiments(invocation.client), f"tags.`{Tag.STUDY_FINGERPRINT}` != ''"
        )
        if not studies:
            raise UserError("study_run=latest: this store has no finished study. Run `main` first.")
        study_run = studies[0].info.run_id
    try:
        path = mlflow.artifacts.download_artifacts(
            run_id=study_run, artifact_path=Artifact.STEPS, tracking_uri=invocation.store.tracking_uri
        )
        members = json.loads(Path(path).read_text())
    except (MlflowException, OSError):
        raise UserError(f"study_run={study_run}: has no steps.json. Give the run id of a study.") from None
    if not any(row["kind"] == "law" for row in members):
        raise UserError(f"study_run={study_run}: is not a complete study. Give the run id of a run of `main`.")
    return render_report(invocation, members, folder)


def render_report(invocation: Invocation, members: list[dict], folder: Path) -> dict[str, Path]:
    """Draw the figures and write the page.

    Returns:
        the files by artifact name.
    """
    report = collect(invocation.client, members, "Over-optimization study", invocation.curve_links()[-1])
    figures = save_figures(report, folder)
    page = folder / Artifact.REPORT
    page.write_text(render(report, figures), encoding="utf-8")
    return {Artifact.REPORT: page, **{path.name: path for path in figures.values()}}


def _same_study(invocation: Invocation, study_fingerprint: str) -> str | None:
    """Run id of an earlier study with the same runs, whose report can be copied."""
    query = f"tags.`{Tag.STUDY_FINGERPRINT}` = '{study_fingerprint}' and tags.`{Tag.KIND}` = '{Kind.STUDY}'"
    studies = all_runs(invocation.client, all_experiments(invocation.client), query)
    return studies[0].info.run_id if studies else None


def _copy(invocation: Invocation, run_id: str) -> dict[str, Path]:
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id, tracking_uri=invocation.store.tracking_uri))
    return {path.name: path for path in folder.iterdir() if path.suffix in (".html", ".png")}
