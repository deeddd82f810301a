"""Writes the report of a study to its run; a study with the same runs as an earlier one copies its report."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric as MlflowMetric
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException

from mlproject.errors import UserError
from mlproject.names import Artifact, Kind, Metric, MlflowTag, Tag
from mlproject.pipeline.step import fingerprint
from mlproject.report.collect import collect
from mlproject.report.figures import save_figures
from mlproject.report.page import render
from mlproject.report.record import record_of
from mlproject.strict_json import strict_json
from mlproject.tracking.artifact_files import fetch
from mlproject.tracking.descriptions import describe_study, record_newest_study
from mlproject.tracking.store import all_experiments, all_runs
from mlproject.tracking.views import BEST_TWO, BEST_TWO_OF_SAMPLES, RUNS_ONE_BY_ONE, figure_key

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation

_VERSION = 5
_COPIED = (Artifact.RECOMMENDATION,)


def write_report(invocation: Invocation) -> None:
    """Finish the run of a study with `steps.json`, the report and the recommendation, and print the latter."""
    members = invocation.member_rows()
    study_fingerprint = fingerprint({"version": _VERSION, "members": sorted(row["run_id"] for row in members)})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        earlier = _same_study(invocation, study_fingerprint)
        timeline = invocation.timeline()
        files = (
            _copy(invocation, earlier)
            if earlier
            else render_report(invocation, members, timeline, folder, invocation.run_id)
        )
        invocation.finish(files)
        recommendation = json.loads(files[Artifact.RECOMMENDATION].read_text(encoding="utf-8"))
    invocation.client.set_tag(invocation.run_id, Tag.STUDY_FINGERPRINT, study_fingerprint)
    publish(invocation, recommendation)
    reused = sum(bool(row["reused"]) for row in members)
    invocation.say(f"steps: {len(members) - reused} executed, {reused} reused")
    invocation.say(f"report: {invocation.artifact(Artifact.REPORT)}")
    for sentence in recommendation["sentences"]:
        invocation.say(sentence)
    invocation.say_timeline()


def publish(invocation: Invocation, recommendation: Mapping[str, Any]) -> None:
    """Describe the run of a study by its recommendation, in the places that the tracking UI shows and sorts by."""
    choice, run = recommendation["choice"] or {}, invocation.client.get_run(invocation.run_id)
    best_two, sentences = recommendation.get("best_two", []), recommendation["sentences"]  # best two: since 0.2
    is_comparison = "rms_compared" in recommendation
    view = (BEST_TWO_OF_SAMPLES if is_comparison else BEST_TWO) if best_two else ""
    tags = {
        MlflowTag.NOTE: describe_study(invocation.store, run, sentences, invocation.methods, view),
        Tag.RECOMMENDED_RM: choice.get("rm", "none"),
        Tag.RECOMMENDED_METHOD: choice.get("method", "none"),
    }
    values = {
        Metric.RECOMMENDED_GOLD: choice.get("gold"),
        Metric.RECOMMENDED_HUMAN: choice.get("human"),
        Metric.RECOMMENDED_KL: choice.get("stop_kl"),
    }
    record_newest_study(invocation.client, invocation.store, run, sentences, best_two, is_comparison)
    now = int(time.time() * 1000)
    invocation.client.log_batch(
        invocation.run_id,
        metrics=[MlflowMetric(name, value, now, 0) for name, value in values.items() if value is not None],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )


def rewrite_report(invocation: Invocation, study_run: str, folder: Path) -> str:
    """Render the report of an earlier study again, and put it in place of that study's own.

    Args:
        invocation: gives access to the store.
        study_run: run id, or `latest`.
        folder: where the files are written first.

    Returns:
        run id of the study.

    Raises:
        UserError: if there is no such study.
    """
    if study_run == "latest":
        studies = all_runs(
            invocation.client, all_experiments(invocation.client), f"tags.`{Tag.STUDY_FINGERPRINT}` != ''"
        )
        if not studies:
            raise UserError("study_run=latest: this store has no finished study. Run `main` first.")
        of_main = [study for study in studies if study.data.tags.get(Tag.ENTRY_POINT) != "compare"]
        study_run = (of_main or studies)[0].info.run_id
    try:
        members = json.loads(fetch(invocation.client, study_run, Artifact.STEPS).read_text())
    except (MlflowException, OSError):
        raise UserError(f"study_run={study_run}: has no steps.json. Give the run id of a study.") from None
    if not any(row["kind"] == "law" for row in members):
        raise UserError(f"study_run={study_run}: is not a complete study. Give the run id of a run of `main`.")
    files = render_report(invocation, members, _timeline_of(invocation, study_run), folder, study_run)
    for path in files.values():
        invocation.client.log_artifact(study_run, str(path))
    return study_run


def _timeline_of(invocation: Invocation, study_run: str) -> Mapping[str, Any]:
    """The timeline of an earlier study; empty where it left none, as before 0.2."""
    if not any(each.path == Artifact.TIMELINE for each in invocation.client.list_artifacts(study_run)):
        return {}
    return json.loads(fetch(invocation.client, study_run, Artifact.TIMELINE).read_text())


def render_report(
    invocation: Invocation, members: list[dict], timeline: Mapping[str, Any], folder: Path, study_run: str
) -> dict[str, Path]:
    """Draw the figures and write the page.

    Returns:
        the files by artifact name.
    """
    has_samples = any(member["kind"] == Kind.SCORED_SAMPLES for member in members)
    title = "Comparison of reward models" if has_samples else "Over-optimization study"
    methods = invocation.methods
    link = invocation.view(figure_key(methods[-1]) if methods else RUNS_ONE_BY_ONE)
    report = collect(invocation.client, members, title, link, study_run)
    report = replace(report, timeline=timeline)
    figures = save_figures(report, folder)
    page = folder / Artifact.REPORT
    page.write_text(render(report, figures), encoding="utf-8")
    recommendation = folder / Artifact.RECOMMENDATION
    recommendation.write_text(strict_json(record_of(report), indent=1), encoding="utf-8")
    files = {Artifact.REPORT: page, Artifact.RECOMMENDATION: recommendation}
    return files | {path.name: path for path in figures.values()}


def _same_study(invocation: Invocation, study_fingerprint: str) -> str | None:
    """Run id of an earlier study with the same runs, whose report can be copied."""
    query = f"tags.`{Tag.STUDY_FINGERPRINT}` = '{study_fingerprint}' and tags.`{Tag.KIND}` = '{Kind.STUDY}'"
    studies = all_runs(invocation.client, all_experiments(invocation.client), query)
    return studies[0].info.run_id if studies else None


def _copy(invocation: Invocation, run_id: str) -> dict[str, Path]:
    files = {path.name: path for path in fetch(invocation.client, run_id).iterdir()}
    return {name: path for name, path in files.items() if path.suffix in (".html", ".png") or name in _COPIED}
