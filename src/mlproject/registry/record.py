"""Records an evaluation: on the promotion run, and on the versions of the reward models that were evaluated."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient

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
from mlproject.registry.model_card import description, model_card
from mlproject.registry.versions import create_registered_model, register, set_tags, versions_by_proxy
from mlproject.strict_json import strict_json
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
        if is_new or results:
            lines = _lines(evaluation, proxy_run_id)
            proposed = evaluation.reason if proxy_run_id == evaluation.selected else ""
            promotion = promotion_run_id if lines else ""
            audits = evaluation.audits if proposed else {}
            card = model_card(client, name, version, candidate, lines, promotion, proposed, audits)
            client.log_text(proxy_run_id, card, Artifact.MODEL_CARD)
            client.update_model_version(name, version, description(card))
    return versions


def _lines(evaluation: Evaluation, proxy_run_id: str) -> list[str]:
    """One line for each gate that was checked for a candidate, and one for those that could not be."""
    lines = [str(result) for result in evaluation.results.get(proxy_run_id, ())]
    return [*lines, evaluation.not_answered] if lines and evaluation.unanswered else lines


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
