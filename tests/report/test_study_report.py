"""The report of a study: rendered once, copied for the same runs, refused for what is not a study."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlproject.errors import UserError
from mlproject.optimization import METHODS
from mlproject.report import study_report

RECOMMENDATION = {
    "choice": {"rm": "25k", "method": "ppo", "gold": 1.3, "human": None, "stop_kl": 8.5},
    "sentences": ["Use 25k.", "Stop."],
    "best_two": ["c", "d"],
}


@pytest.fixture
def invocation(tmp_path: Path) -> SimpleNamespace:
    """An invocation that records what it is finished with."""
    log: list[Any] = []
    return SimpleNamespace(
        client=SimpleNamespace(
            get_run=lambda run_id: SimpleNamespace(
                info=SimpleNamespace(run_name="main smoke", run_id=run_id, experiment_id="3")
            ),
            set_tag=lambda *tag: log.append(tag),
            log_batch=lambda run_id, metrics, tags: log.append({each.key: each.value for each in (*metrics, *tags)}),
        ),
        methods=[METHODS["ppo"]], store=SimpleNamespace(tracking_uri="sqlite://", policy_runs="1"),
        run_id="this", log=log,
        finish=lambda files: log.append({name: path.read_text() for name, path in files.items()}),
        member_rows=lambda: [
            {"run_id": "b", "kind": "law", "reused": False}, {"run_id": "a", "kind": "pool", "reused": True},
        ],
        timeline=lambda: {"seconds": 3}, say_timeline=lambda: log.append("cores: busy"),
        say=log.append, artifact=lambda name: f"link to {name}",
    )  # fmt: skip


def test_a_report_is_rendered_once_and_copied_for_the_same_runs(invocation, monkeypatch, tmp_path: Path) -> None:
    def render(invocation, members, timeline, folder: Path, study_run: str) -> dict[str, Path]:
        assert timeline == {"seconds": 3}
        (folder / "report.html").write_text("new")
        (folder / "recommendation.json").write_text(json.dumps(RECOMMENDATION))
        return {name: folder / name for name in ("report.html", "recommendation.json")}

    earlier: list[SimpleNamespace] = []
    queries: list[str] = []
    newest: list[Any] = []
    monkeypatch.setattr(study_report, "record_newest_study", lambda client, store, *study: newest.append(study))
    monkeypatch.setattr(study_report, "render_report", render)
    monkeypatch.setattr(study_report, "all_experiments", lambda client: ["0"])
    monkeypatch.setattr(study_report, "all_runs", lambda client, experiments, query: queries.append(query) or earlier)
    study_report.write_report(invocation)
    files, tag, published, *lines = invocation.log
    assert files == {"report.html": "new", "recommendation.json": json.dumps(RECOMMENDATION)}
    assert lines == ["steps: 1 executed, 1 reused", "report: link to report.html", "Use 25k.", "Stop.", "cores: busy"]
    note = published.pop("mlflow.note.content")
    assert note.startswith("**Use 25k.**\n\n[report.html](#/experiments/3/runs/this/artifacts/report.html?")
    assert "Stop." in note and "overoptimization-ppo" in note
    assert published == {
        "mlproject.recommended.rm": "25k",
        "mlproject.recommended.method": "ppo",
        "recommendation/gold": 1.3,
        "recommendation/kl": 8.5,
    }
    assert tag[:2] == ("this", "mlproject.study_fingerprint") and tag[2] in queries[0]

    [(run, *rest)] = newest
    assert (run.info.run_name, rest) == ("main smoke", [["Use 25k.", "Stop."], ["c", "d"], False])
    assert "overoptimization-best-two&" in note

    copied = tmp_path / "earlier"
    copied.mkdir()
    for name in ("report.html", "peaks.png", "steps.json"):
        (copied / name).write_text("old")
    (copied / "recommendation.json").write_text(json.dumps(RECOMMENDATION | {"choice": None}))
    earlier.append(SimpleNamespace(info=SimpleNamespace(run_id="earlier")))
    monkeypatch.setattr(study_report, "fetch", lambda client, run_id: copied)
    invocation.log.clear()
    study_report.write_report(invocation)
    files, same_tag, published, *_ = invocation.log
    assert {name: text for name, text in files.items() if name != "recommendation.json"} == {
        "report.html": "old", "peaks.png": "old",
    }  # fmt: skip
    assert same_tag == tag
    assert published["mlproject.recommended.rm"] == "none" and "recommendation/gold" not in published


def test_the_report_of_an_unknown_or_incomplete_study_is_refused(invocation, monkeypatch, tmp_path: Path) -> None:
    steps = tmp_path / "steps.json"
    monkeypatch.setattr(study_report, "all_experiments", lambda client: ["0"])
    monkeypatch.setattr(study_report, "all_runs", lambda *arguments: [])
    monkeypatch.setattr(study_report, "fetch", lambda client, run_id, name: steps)
    with pytest.raises(UserError, match="study_run=latest: this store has no finished study"):
        study_report.rewrite_report(invocation, "latest", tmp_path)
    with pytest.raises(UserError, match=r"study_run=abc: has no steps\.json"):
        study_report.rewrite_report(invocation, "abc", tmp_path)
    steps.write_text(json.dumps([{"kind": "pool", "run_id": "a"}]))
    with pytest.raises(UserError, match="study_run=abc: is not a complete study"):
        study_report.rewrite_report(invocation, "abc", tmp_path)


def test_latest_is_a_study_of_main_also_after_a_comparison_of_samples(invocation, monkeypatch, tmp_path: Path) -> None:
    studies = [
        SimpleNamespace(
            info=SimpleNamespace(run_id=name), data=SimpleNamespace(tags={"mlproject.entry_point": entry_point})
        )
        for name, entry_point in (("c", "compare"), ("b", "main"), ("a", "main"))
    ]
    monkeypatch.setattr(study_report, "all_experiments", lambda client: ["0"])
    monkeypatch.setattr(study_report, "all_runs", lambda *arguments: studies)
    monkeypatch.setattr(study_report, "fetch", lambda client, run_id, name: tmp_path / "steps.json")
    for expected in ("b", "c"):
        with pytest.raises(UserError, match=rf"study_run={expected}: has no steps\.json"):
            study_report.rewrite_report(invocation, "latest", tmp_path)
        del studies[1:]


def test_a_report_that_is_written_again_takes_the_place_of_the_studys_own(
    invocation, monkeypatch, tmp_path: Path
) -> None:
    logged, timelines = [], []
    (tmp_path / "steps.json").write_text(json.dumps([{"kind": "law", "run_id": "a"}]))
    page = tmp_path / "report.html"

    def render(invocation, members, timeline, folder: Path, study_run: str) -> dict[str, Path]:
        timelines.append(timeline)
        return {"report.html": page}

    monkeypatch.setattr(study_report, "fetch", lambda client, run_id, name: tmp_path / name)
    monkeypatch.setattr(study_report, "render_report", render)
    invocation.client.log_artifact = lambda run_id, path: logged.append((run_id, path))
    invocation.client.list_artifacts = lambda run_id: [SimpleNamespace(path=path.name) for path in tmp_path.iterdir()]
    assert study_report.rewrite_report(invocation, "abc", tmp_path) == "abc"
    assert logged == [("abc", str(page))]
    (tmp_path / "timeline.json").write_text(json.dumps({"seconds": 4}))
    study_report.rewrite_report(invocation, "abc", tmp_path)
    assert timelines == [{}, {"seconds": 4}], "a study of 0.1 has none"
