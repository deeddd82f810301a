"""Puts the report on an invocation's run: made once for the same members, copied after that."""

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
from mlproject.tracking.store import all_experiments, all_runs

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation

_VERSION = 1


def write_report(invocation: Invocation) -> None:
    """Finish a study's run with `steps.json`, `report.html` and the figures."""
    members = invocation.member_rows()
    mark = fingerprint({"version": _VERSION, "members": sorted(row["run_id"] for row in members)})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = _same_study(invocation, mark)
        files = _copy(invocation, made) if made else render_report(invocation, members, folder)
        invocation.finish(files)
    invocation.client.set_tag(invocation.run_id, Tag.STUDY_FINGERPRINT, mark)
    invocation.say(f"report: {invocation.artifact(Artifact.REPORT)}")


def report_of_run(invocation: Invocation, study_run: str, folder: Path) -> dict[str, Path]:
    """Make the report of a study that was carried out before.

    Args:
        invocation: whose store is read.
        study_run: run id, or `latest`.
        folder: where the files are written.

    Raises:
        UserError: where there is no such study.
    """
    if study_run == "latest":
        marked = all_runs(
            invocation.client, all_experiments(invocation.client), f"tags.`{Tag.STUDY_FINGERPRINT}` != ''"
        )
        if not marked:
            raise UserError("study_run=latest: no finished study in this store; run `main` first")
        study_run = marked[0].info.run_id
    try:
        path = mlflow.artifacts.download_artifacts(
            run_id=study_run, artifact_path=Artifact.STEPS, tracking_uri=invocation.store.tracking_uri
        )
        members = json.loads(Path(path).read_text())
    except (MlflowException, OSError):
        raise UserError(f"study_run={study_run}: has no steps.json; give the run id of a study") from None
    if not any(row["kind"] == Kind.LAW for row in members):
        raise UserError(f"study_run={study_run}: is no whole study; give the run id of a run of `main`")
    return render_report(invocation, members, folder)


def render_report(invocation: Invocation, members: list[dict], folder: Path) -> dict[str, Path]:
    """Draw the figures and write the page; returns the files by artifact name."""
    from mlproject.report.collect import collect
    from mlproject.report.figures import save_figures
    from mlproject.report.page import render

    contents = collect(invocation.client, members, "Over-optimization study", invocation.curve_links()[-1])
    figures = save_figures(contents, folder)
    page = folder / Artifact.REPORT
    page.write_text(render(contents, figures), encoding="utf-8")
    return {Artifact.REPORT: page, **{path.name: path for path in figures.values()}}


def _same_study(invocation: Invocation, mark: str) -> str | None:
    """An earlier study with the same members, whose report can be taken over."""
    query = f"tags.`{Tag.STUDY_FINGERPRINT}` = '{mark}' and tags.`{Tag.KIND}` = '{Kind.STUDY}'"
    found = all_runs(invocation.client, all_experiments(invocation.client), query)
    return found[0].info.run_id if found else None


def _copy(invocation: Invocation, run_id: str) -> dict[str, Path]:
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id, tracking_uri=invocation.store.tracking_uri))
    return {path.name: path for path in folder.iterdir() if path.suffix in (".html", ".png")}
