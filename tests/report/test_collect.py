"""What a report contains, collected from the runs of a study."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.recommendation.outcome import Outcome
from mlproject.report import collect as collect_module
from mlproject.report.collect import collect
from mlproject.report.records import Report


def run(run_id: str, params: dict[str, str], metrics: dict[str, float], tags: dict[str, str]) -> SimpleNamespace:
    data = SimpleNamespace(params=params, metrics=metrics, tags=tags)
    return SimpleNamespace(info=SimpleNamespace(run_id=run_id, start_time=1_790_000_000_000), data=data)


def curve(height: float) -> Curve:
    gold_SP = height * np.array([[0.0, 0.0], [1.0, 1.2]])
    return Curve(np.arange(2), np.array([0.0, 1.0]), gold_SP, gold_SP)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, SimpleNamespace], list[dict[str, Any]]]:
    """Runs by id, with their artifacts on disk, and the rows of `steps.json`."""
    runs = {
        "policy": run("policy", {"world": "helpdesk", "world_seed": "3", "policy_size": "1m",
                                 "policy_params": "1234567", "long_prompts": "skip"}, {}, {}),
        "gold": run("gold", {"gold_size": "300k", "rm_params": "300000"}, {"rm/accuracy_initial_policy": 0.814}, {}),
        "proxy pool": run("proxy pool", {}, {}, {}),
        "pool": run("pool", {"curve_prompts": "256", "pool_samples": "1024"},
                    {"pool/gold_human_correlation": 0.69}, {}),
        "data": run("data", {"label_noise": "0.1"}, {"comparisons/count": 16000.0}, {}),
        "rm large": run("rm large", {"rm_size": "25k", "rm_params": "25408", "seed": "0"}, {"rm/scale": 0.7}, {}),
        "rm small": run("rm small", {"rm_size": "1k", "rm_params": "968", "seed": "1"}, {"rm/scale": 0.5}, {}),
        "law": run("law", {}, {}, {"mlproject.inputs": json.dumps({"0": "ppo", "1": "bon"})}),
    }  # fmt: skip
    for name, method, kl_coef in (("ppo", "ppo", {"kl_coef": "0.1"}), ("bon", "best-of-n", {}), ("trial", "ppo", {})):
        params = {"method": method, "rm_size": "25k", "rm_params": "25408", "seed": "0", **kl_coef}
        runs[name] = run(name, params, {"peak/gold": 1.0}, {})
        (tmp_path / name).mkdir()
        curve(len(name)).save(tmp_path / name / "curve.npz")
        table = {"columns": ["stage", "response"], "data": [["start", "yes"], ["end", "no"]]}
        (tmp_path / name / "samples.json").write_text(json.dumps(table))
    (tmp_path / "law").mkdir()
    (tmp_path / "law" / "laws.json").write_text(json.dumps({"groups": []}))
    kinds = {
        "policy": "initial-policy", "gold": "gold-rm", "proxy pool": "pool", "pool": "pool", "data": "comparisons",
        "rm large": "proxy-rm", "rm small": "proxy-rm", "law": "law",
        "ppo": "policy-run", "bon": "policy-run", "trial": "policy-run",
    }  # fmt: skip
    members = [
        {"kind": kind, "run_id": name, "reused": name == "policy", "seconds": 10.0, "tracking_seconds": 0.5}
        for name, kind in kinds.items()
    ]
    monkeypatch.setattr(collect_module, "artifact", lambda client, run_id, name="": tmp_path / run_id / name)
    return runs, members


def collected(study: tuple[dict[str, SimpleNamespace], list[dict[str, Any]]]) -> Report:
    runs, members = study
    tags = {"mlproject.command": "mlproject main --preset=smoke", "mlproject.commit": "abc"}
    runs = runs | {"study": SimpleNamespace(info=SimpleNamespace(start_time=0), data=SimpleNamespace(tags=tags))}
    client = SimpleNamespace(get_run=runs.__getitem__)
    return collect(client, members, "A study", "http://ui", "study")  # type: ignore[arg-type]


def test_a_report_says_run_date_command_and_commit(study) -> None:
    facts = collected(study).facts
    assert (facts["Run"], facts["Date"]) == ("study", "1970-01-01 00:00 UTC")
    assert (facts["Command"], facts["Commit"]) == ("mlproject main --preset=smoke", "abc")


def test_a_report_has_the_curves_that_the_laws_were_fitted_to_and_no_trial(study) -> None:
    report = collected(study)
    assert [(r.method, r.run_id, r.kl_coef) for r in report.policy_runs] == [
        ("best-of-n", "bon", 0.0),
        ("ppo", "ppo", 0.1),
    ]
    assert report.policy_runs[0].curve.gold_S.tolist() == curve(3).gold_S.tolist()
    assert report.policy_runs[0].samples == [
        {"stage": "start", "response": "yes"},
        {"stage": "end", "response": "no"},
    ]
    assert [(p.rm_size, p.rm_params, p.seed) for p in report.proxies] == [("1k", 968, 1), ("25k", 25408, 0)]
    assert (report.title, report.link, report.laws, report.gold) == ("A study", "http://ui", {"groups": []}, "gold")
    assert (report.trials, report.promotion) == ([], {})


def test_the_facts_are_those_of_the_runs(study) -> None:
    facts = collected(study).facts
    assert {label: facts[label] for label in facts if label not in ("Run", "Date", "Command", "Commit")} == {
        "World": "helpdesk, world seed 3",
        "Initial policy": "1m (1,234,567 parameters)",
        "Gold": "RM 300k (300,000 parameters); agrees with the human on 81% of pairs of initial-policy responses; "
        "their scores correlate at 0.69",
        "Comparisons": "16000, label noise 10%",
        "Curve prompts": "256, 1024 pool samples each",
        "Steps": "10 new, 1 reused",
        "Compute": "100 process seconds, 5.0 of them for tracking",
    }


def test_skipped_rows_external_proxies_and_a_test_rm_as_gold_are_reported(study) -> None:
    runs, members = study
    runs["policy"].data.metrics = {"prompts/rows_skipped": 2.0, "prompts/too_long": 5.0}
    runs["gold"].data.tags = {"mlproject.gold": "test-rm"}
    members[:] = [member for member in members if member["kind"] != "comparisons"]
    report = collected(study)
    assert report.facts["Prompts"] == "2 invalid rows skipped, 5 too long (long_prompts=skip)"
    assert report.facts["Comparisons"] == "none: all proxies are external"
    assert report.facts["Gold"].startswith("none; test RM 300k (300,000 parameters)")
    assert report.gold == "test RM"


@pytest.mark.parametrize("reuses_search", [True, False])
def test_whole_trials_count_also_where_a_study_reuses_its_search(study, reuses_search: bool, tmp_path: Path) -> None:
    runs, members = study
    runs["search"] = run("search", {}, {}, {})
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "trials.csv").write_text(
        "number,state,rm_size,kl_coef,run_id,reused\n0,COMPLETE,25k,0.1,ppo,True\n1,COMPLETE,25k,0.1,trial,False\n"
        "2,PRUNED,25k,0.3,gone,False\n3,COMPLETE,25k,0.1,trial,True\n"
    )
    members.append({**members[0], "kind": "search", "run_id": "search"})
    if reuses_search:  # whose runs are then no steps of the study
        members[:] = [member for member in members if member["run_id"] != "trial"]
    assert [each.run_id for each in collected(study).search_runs] == ["trial"]


@pytest.mark.parametrize("passed", [True, False])
def test_a_promotion_is_reported_with_the_reason_if_it_was_rejected(study, passed: bool, tmp_path: Path) -> None:
    runs, members = study
    runs["promotion"] = run(
        "promotion", {"registered_model": "reward-model", "method": "ppo"}, {"candidate/peak_gold": 1.234},
        {"promotion.verdict": "passed" if passed else "refused", "candidate.version": "8", "candidate.rm_size": "25k",
         "candidate.seed": "0", "mlflow.note.content": "first gate\n\nsecond gate",
         "promotion.proposed": "25k has the highest peak.", "mlproject.inputs": '{"proxy-rm": "rm large"}'},
    )  # fmt: skip
    members.append({**members[0], "kind": "promotion", "run_id": "promotion"})
    folder = tmp_path / "promotion"
    folder.mkdir()
    gates = {"columns": ["gate", "wanted", "holds"], "data": [["peak_gold", "at least 0.5", passed]]}
    (folder / "verdicts.json").write_text(json.dumps(gates))
    report = collected(study)
    promotion = report.promotion
    assert report.gates == [{"gate": "peak_gold", "wanted": "at least 0.5", "holds": passed}]
    assert promotion["Run"] == "promotion, 2026-09-21 14:13 UTC" and report.outcome == Outcome(
        "promotion", "25k", "0", "8", passed, [] if passed else ["peak_gold"], "", "25k has the highest peak.",
        basis="Gates are checked on one seed.",
    )  # fmt: skip
    model = "models:/reward-model@champion" if passed else "reward-model: the candidate was rejected"
    assert (promotion["Model"], promotion["Version"], promotion["RM size"]) == (model, "8", "25k")
    assert promotion["Peak gold"] == "1.23 standard deviations, by ppo"
    assert promotion.get("Reason") == (None if passed else "first gate; second gate")


def test_a_sampler_from_elsewhere_stands_among_the_facts_with_its_kl_from_the_policy(study) -> None:
    runs, members = study
    assert "Sampler of the pool" not in collected(study).facts
    metrics = {"pool/sampler_kl": 0.25, "pool/sampler_kl_se": 0.1, "pool/sampler_checked": 256.0}
    origins = (("sampler", "http://h/v1", "http://h/v1"), ("pool_path", "/mine/pool.parquet", "pool.parquet"))
    for key, value, source in origins:
        runs["samples"] = run("samples", {key: value}, metrics, {})
        rows = [*members, {**members[0], "kind": "pool-samples", "run_id": "samples"}]
        fact = collected((runs, rows)).facts["Sampler of the pool"]
        assert fact.startswith(f"{source}: KL from the policy 0.25 +- 0.2 nats per response, measured on 256 of them")
