"""Writes down what was decided: on the promotion's run, and on the versions that it judged."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlflow import MlflowClient

from mlproject.names import (
    Artifact,
    GateResult,
    Metric,
    MetricPrefix,
    MlflowTag,
    Status,
    Tag,
    VersionTag,
    VersionTagPrefix,
)
from mlproject.registry import model_card as card
from mlproject.registry.candidates import Candidate
from mlproject.registry.evaluate import Judgement
from mlproject.registry.figure import evidence_figure
from mlproject.registry.ranking import ranked
from mlproject.registry.versions import (
    create_registered_model,
    register,
    set_tags,
    versions_by_proxy,
)
from mlproject.tracking.runs import StepRun


def record_verdict(run: StepRun, judgement: Judgement, versions: Mapping[str, str]) -> None:
    """Metrics, tags and artifacts of the promotion's run; on the tracking server when this returns.

    Args:
        run: to be filled.
        judgement: what it says.
        versions: by run id of the proxy RM; empty in a dry run.
    """
    chosen, p = judgement.chosen, judgement.candidate.proxy.data.params
    evidence = judgement.evidence[chosen]
    for verdict in judgement.answer:
        name, (value, low, high) = f"{MetricPrefix.GATE}{verdict.gate.name}", verdict.measured
        run.log_metrics({name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_holds": verdict.holds})
    run.log_metrics(
        {
            Metric.GATES_PASSED: judgement.passed,
            Metric.CANDIDATES: len(judgement.candidates),
            Metric.CANDIDATE_PEAK_GOLD: evidence.curve.peak().gold,
        }
    )
    run.set_tags(
        {
            Tag.PROMOTION_VERDICT: GateResult.PASSED if judgement.passed else GateResult.REFUSED,
            Tag.CANDIDATE_VERSION: versions.get(chosen, ""),
            Tag.CANDIDATE_RM_SIZE: p["rm_size"],
            Tag.CANDIDATE_SEED: p["seed"],
            MlflowTag.NOTE: "\n\n".join(str(verdict) for verdict in judgement.answer),
        }
    )
    rows = [
        {"gate": v.gate.name, "wanted": v.gate.condition, "holds": v.holds, **v.measured._asdict(), "says": str(v)}
        for v in judgement.answer
    ]
    run.log_table(rows, Artifact.GATE_RESULTS)
    (run.folder / Artifact.CANDIDATES).write_text(json.dumps(_ranking(judgement, versions), indent=1))
    evidence.curve.save(run.folder / Artifact.CURVE)
    (run.folder / Artifact.GATES).write_bytes(judgement.gates.text)
    figure = evidence_figure(judgement.candidate.name, evidence.curve, judgement.champion_curve)
    (run.folder / Artifact.EVIDENCE).write_bytes(figure)
    run.publish()


def record_versions(client: MlflowClient, name: str, judgement: Judgement, promotion_run_id: str) -> dict[str, str]:
    """Make every candidate a version, and bring tags and cards up to date.

    Returns:
        the version of every candidate, by run id of its proxy RM.
    """
    create_registered_model(client, name)
    known = versions_by_proxy(client, name)
    versions: dict[str, str] = {}
    for proxy_run_id, candidate in judgement.candidates.items():
        version = versions[proxy_run_id] = register(client, name, candidate.proxy, known)
        verdicts = judgement.verdicts.get(proxy_run_id, ())
        status = known[proxy_run_id].tags.get(VersionTag.STATUS) if proxy_run_id in known else Status.CANDIDATE
        tags = _figures(candidate)
        if status in (Status.CANDIDATE, Status.REFUSED) and not all(verdict.holds for verdict in verdicts):
            tags |= {VersionTag.STATUS: Status.REFUSED, VersionTag.PROMOTION_RUN_ID: promotion_run_id}
        set_tags(client, name, version, tags)
        if proxy_run_id not in known or verdicts:
            lines = [str(verdict) for verdict in verdicts]
            whole = card.model_card(client, name, version, candidate, lines, promotion_run_id if lines else "")
            client.log_text(proxy_run_id, whole, Artifact.MODEL_CARD)
            client.update_model_version(name, version, card.description(whole))
    return versions


def _ranking(judgement: Judgement, versions: Mapping[str, str]) -> list[dict[str, object]]:
    return [
        {
            "version": versions.get(run_id, ""),
            "rm_size": judgement.candidates[run_id].proxy.data.params["rm_size"],
            "seed": judgement.candidates[run_id].proxy.data.params["seed"],
            "peak_gold": round(judgement.evidence[run_id].curve.peak().gold, 4),
            "proxy_run_id": run_id,
        }
        for run_id in ranked(judgement.evidence)
    ]


def _figures(candidate: Candidate) -> dict[str, str]:
    """What dashboards and later runs read from a version's tags."""
    p, trained = candidate.proxy.data.params, candidate.proxy.data.metrics
    tags = {name: p[name] for name in ("rm_size", "rm_params", "seed", "n_comparisons") if name in p}
    names = (Metric.RM_VAL_ACCURACY, Metric.RM_VAL_LOSS, Metric.RM_ECE, Metric.RM_SCALE)
    tags |= {name: f"{trained[name]:.4g}" for name in names if name in trained}
    for method, run in candidate.best.items():
        m = run.data.metrics
        tags |= {
            f"{VersionTagPrefix.KL_BUDGET}{method}": f"{m[Metric.PEAK_KL]:.6g}",
            f"{VersionTagPrefix.PEAK_GOLD}{method}": f"{m[Metric.PEAK_GOLD]:.4g}",
            f"{VersionTagPrefix.POLICY_RUN_ID}{method}": run.info.run_id,
        }
        if "kl_coef" in run.data.params:
            tags[f"{VersionTagPrefix.KL_COEF}{method}"] = run.data.params["kl_coef"]
    return tags
