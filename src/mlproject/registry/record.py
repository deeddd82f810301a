"""Records an evaluation: on the promotion run, and on the versions of the reward models that were evaluated."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from mlproject.laws import Estimate
from mlproject.names import (
    Artifact,
    Metric,
    MetricPrefix,
    MlflowTag,
    PromotionResult,
    Status,
    Tag,
    VersionTag,
    VersionTagPrefix,
)
from mlproject.registry.candidates import Candidate
from mlproject.registry.evaluate import Evaluation
from mlproject.registry.figure import evidence_figure
from mlproject.registry.gates import GateResult, Gates
from mlproject.registry.model_card import description, model_card
from mlproject.registry.versions import create_registered_model, register, set_tags, versions_by_proxy
from mlproject.strict_json import strict_json
from mlproject.tracking.run_data import artifact
from mlproject.tracking.runs import StepRun


def record_evaluation(run: StepRun, evaluation: Evaluation, versions: Mapping[str, str]) -> None:
    """Write metrics, tags and artifacts of a promotion run; they are on the tracking server when this returns.

    Args:
        run: the promotion run.
        evaluation: what to record.
        versions: versions of the candidates, by run id of the proxy RM; empty in a dry run.
    """
    selected, p = evaluation.selected, evaluation.candidate.proxy.data.params
    evidence, results = evaluation.evidence[selected], evaluation.selected_results
    for result in results:
        name, (value, low, high) = f"{MetricPrefix.GATE}{result.gate.name}", result.estimate
        run.log_metrics({name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_holds": result.passed})
    run.log_metrics(
        {
            Metric.GATES_PASSED: evaluation.passed,
            Metric.CANDIDATES: len(evaluation.candidates),
            Metric.CANDIDATE_PEAK_GOLD: evidence.curve.peak().gold,
        }
    )
    run.set_tags(
        {
            Tag.PROMOTION_VERDICT: PromotionResult.PASSED if evaluation.passed else PromotionResult.REFUSED,
            Tag.CANDIDATE_VERSION: versions.get(selected, ""),
            Tag.CANDIDATE_RM_SIZE: p["rm_size"],
            Tag.CANDIDATE_SEED: p["seed"],
            Tag.PROMOTION_PROPOSED: evaluation.reason,
            MlflowTag.NOTE: "\n\n".join([evaluation.reason, *_lines(evaluation, selected)]),
            **({Tag.PROMOTION_NOT_ANSWERED: evaluation.not_answered} if evaluation.unanswered else {}),
        }
    )
    rows = [
        {
            "gate": result.gate.name,
            "wanted": result.gate.condition,
            "holds": result.passed,
            **result.estimate._asdict(),
            "says": str(result),
        }
        for result in results
    ]
    run.log_table(rows, Artifact.GATE_RESULTS)
    (run.folder / Artifact.CANDIDATES).write_text(strict_json(_ranking(evaluation, versions), indent=1))
    evidence.curve.save(run.folder / Artifact.CURVE)
    (run.folder / Artifact.GATES).write_bytes(evaluation.gates.text)
    champion_rm = evaluation.champion.tags.get("rm_size", "") if evaluation.champion else ""
    figure = evidence_figure(
        evaluation.candidate.name, p["rm_size"], evidence.curve, champion_rm, evaluation.champion_curve
    )
    (run.folder / Artifact.EVIDENCE).write_bytes(figure)
    run.publish()


def record_versions(client: MlflowClient, name: str, evaluation: Evaluation, promotion_run_id: str) -> dict[str, str]:
    """Register every candidate as a version, and update the tags and model cards.

    Args:
        client: client of the store.
        name: name of the registered model.
        evaluation: what to record.
        promotion_run_id: id of the promotion run, which versions refer to.

    Returns:
        the version of every candidate, by run id of its proxy RM.
    """
    create_registered_model(client, name)
    registered = versions_by_proxy(client, name)
    versions: dict[str, str] = {}
    evaluated = evaluation.proposal.recommendation.evaluated
    models = {run_id: candidate for run_id, candidate in evaluation.candidates.items() if candidate.is_model}
    for proxy_run_id, candidate in models.items():
        version = versions[proxy_run_id] = register(client, name, candidate.proxy, registered)
        results = evaluation.results.get(proxy_run_id, ())
        is_new = proxy_run_id not in registered
        status = Status.CANDIDATE if is_new else registered[proxy_run_id].tags.get(VersionTag.STATUS)
        tags = _version_tags(candidate)
        if status in (Status.CANDIDATE, Status.REFUSED) and not all(result.passed for result in results):
            tags |= {VersionTag.STATUS: Status.REFUSED, VersionTag.PROMOTION_RUN_ID: promotion_run_id}
        set_tags(client, name, version, tags)
        stands = evaluation.champion if evaluation.was_promoted and proxy_run_id == evaluation.selected else None
        if is_new or results:
            lines = _lines(evaluation, proxy_run_id)
            proposed = evaluation.reason if proxy_run_id == evaluation.selected else ""
            promotions = {"promotion": promotion_run_id} if lines else {}
            if stands is not None:
                promotions = {"promotion": stands.tags[VersionTag.PROMOTION_RUN_ID], "confirmed by": promotion_run_id}
                proposed = f"{standing_sentence(client, stands, client.get_run(promotion_run_id))} {proposed}"
            audits = evaluation.audits if proposed else {}
            probed = evaluation.evidence[proxy_run_id].probes if proxy_run_id in evaluation.evidence else ()
            card = model_card(client, name, version, candidate, lines, promotions, proposed, audits, evaluated, probed)
            client.log_text(proxy_run_id, card, Artifact.MODEL_CARD)
            client.update_model_version(name, version, description(card))
    return versions


def _lines(evaluation: Evaluation, proxy_run_id: str) -> list[str]:
    """One line for each gate that was checked for a candidate, and one for those that could not be."""
    lines = [str(result) for result in evaluation.results.get(proxy_run_id, ())]
    return [*lines, evaluation.not_answered] if lines and evaluation.unanswered else lines


def stored_results(client: MlflowClient, run: Run, gates: Gates) -> list[GateResult]:
    """The results of the gates that a promotion run holds.

    Args:
        client: client of the store.
        run: the promotion.
        gates: those in force, which are the run's.
    """
    table = json.loads(artifact(client, run, Artifact.GATE_RESULTS).read_text(encoding="utf-8"))
    rows = {row["gate"]: row for row in (dict(zip(table["columns"], each, strict=True)) for each in table["data"])}
    return [gate.judge(_estimate(rows[gate.name])) for gate in gates.gates if gate.name in rows]


def _estimate(row: Mapping[str, Any]) -> Estimate:
    value, low, high = (math.nan if row[name] is None else float(row[name]) for name in ("value", "low", "high"))
    return Estimate(value, low, high)


def standing_sentence(client: MlflowClient, champion: ModelVersion, run: Run) -> str:
    """Whose figures are given of a champion that was champion before.

    Args:
        client: client of the store.
        champion: the version that stands.
        run: the promotion whose figures are given.
    """
    first = client.get_run(champion.tags[VersionTag.PROMOTION_RUN_ID])
    since = f"Version {champion.version} is champion since {_when(first)} (promotion {first.info.run_id})"
    if first.info.run_id == run.info.run_id:
        return f"{since}; these are the figures of that promotion, since nothing that it rests on was measured anew."
    return (
        f"{since}; these are the figures of {_when(run)} (promotion {run.info.run_id}), from what was measured since, "
        "with the margin over the initial policy."
    )


def _when(run: Run) -> str:
    return f"{datetime.fromtimestamp(run.info.start_time / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _ranking(evaluation: Evaluation, versions: Mapping[str, str]) -> list[dict[str, object]]:
    return [
        {
            "version": versions.get(run_id, ""),
            "rm_size": evaluation.candidates[run_id].proxy.data.params["rm_size"],
            "seed": evaluation.candidates[run_id].proxy.data.params["seed"],
            "peak_gold": round(evaluation.evidence[run_id].curve.peak().gold, 4),
            "proxy_run_id": run_id,
            "failed": [result.gate.name for result in evaluation.results.get(run_id, ()) if not result.passed],
        }
        for run_id in evaluation.order
    ]


def _version_tags(candidate: Candidate) -> dict[str, str]:
    """Version tags that dashboards and later runs read."""
    p, trained = candidate.proxy.data.params, candidate.proxy.data.metrics
    tags = {name: p[name] for name in ("rm_size", "rm_params", "seed", "n_comparisons", "reward") if name in p}
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
