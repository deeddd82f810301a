"""Collects the data of a report from the runs of a study."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run, RunData

from mlproject.curve import Curve
from mlproject.laws.intervals import Z_975, Estimate
from mlproject.models.gold_source import kind_of_run
from mlproject.names import Artifact, GoldKind, Kind, Metric, MetricPrefix, MlflowTag, PromotionResult, Role, Tag
from mlproject.optimization import find_method
from mlproject.recommendation.measured import named_options
from mlproject.recommendation.outcome import Outcome
from mlproject.report.records import PolicyRunRecord, ProxyRecord, Report
from mlproject.report.samples import samples_facts, stored_facts
from mlproject.search.trials import read_trials
from mlproject.tracking.provenance import provenance
from mlproject.tracking.run_data import artifact


def collect(
    client: MlflowClient, members: Sequence[Mapping[str, Any]], title: str, link: str, study_run: str
) -> Report:
    """Collect everything about a study.

    Args:
        client: of the tracking server.
        members: rows of the study's `steps.json`.
        title: title of the report.
        link: link to the curves in the tracking UI.
        study_run: run id of the study.
    """
    by_kind: dict[str, list[Run]] = {}
    for member in members:
        by_kind.setdefault(member["kind"], []).append(client.get_run(member["run_id"]))
    laws_run = by_kind[Kind.LAW][0]
    laws = json.loads((artifact(client, laws_run.info.run_id, Artifact.LAWS)).read_text())
    in_study = set(json.loads(laws_run.data.tags[Tag.INPUTS]).values())
    curves = [_policy_run(client, run) for run in by_kind[Kind.POLICY_RUN] if run.info.run_id in in_study]
    searches, promotions = by_kind.get(Kind.SEARCH, []), by_kind.get(Kind.PROMOTION, [])
    trials = read_trials(artifact(client, searches[0].info.run_id, Artifact.TRIALS)) if searches else []
    samples = by_kind.get(Kind.SCORED_SAMPLES, [])
    proxies = [  # of a table of samples each policy run knows how well its reward model agrees with gold
        ProxyRecord(run.info.run_id, p["rm_size"], int(p["rm_params"]), int(p["seed"]), run.data.metrics)
        for run in by_kind.get(Kind.POLICY_RUN if samples else Kind.PROXY_RM, [])
        for p in [run.data.params]
    ]
    facts = samples_facts(client, samples[0]) if samples else _facts(by_kind)
    return Report(
        title=title,
        facts=facts | _work(members) | provenance(client, study_run),
        proxies=sorted(proxies, key=lambda p: (p.rm_params, p.seed)),
        policy_runs=sorted(curves, key=lambda c: (c.method, c.rm_params, c.seed)),
        laws=laws,
        trials=trials,
        promotion=_promotion(promotions[0]) if promotions else {},
        gates=_gates(client, promotions[0]) if promotions else [],
        link=link,
        search_runs=[_policy_run(client, client.get_run(run_id)) for run_id in _whole_trials(trials, in_study)],
        outcome=_outcome(client, promotions[0], {proxy.run_id for proxy in proxies}) if promotions else None,
        audits=dict(_audit(run) for run in by_kind.get(Kind.AUDIT, [])),
        gold="gold" if samples or kind_of_run(by_kind[Kind.GOLD_RM][0].data.tags) != GoldKind.TEST_RM else "test RM",
        samples=stored_facts(client, samples[0]) if samples else {},
    )


def _whole_trials(trials: Sequence[Mapping[str, Any]], in_study: Collection[str]) -> list[str]:
    """Run ids of a search's whole trials that the study did not plan: also where it reuses the search with its runs."""
    run_ids = dict.fromkeys(trial["run_id"] for trial in trials if trial["state"] == "COMPLETE")
    return [run_id for run_id in run_ids if run_id not in in_study]


def _policy_run(client: MlflowClient, run: Run) -> PolicyRunRecord:
    p, folder = run.data.params, artifact(client, run.info.run_id)
    table = json.loads((folder / Artifact.SAMPLES).read_text())
    return PolicyRunRecord(
        run_id=run.info.run_id,
        method=p["method"],
        rm_size=p["rm_size"],
        rm_params=int(p["rm_params"]),
        seed=int(p["seed"]),
        kl_coef=float(p.get(find_method(p["method"]).coefficient, 0.0)),
        curve=Curve.load(folder / Artifact.CURVE),
        metrics=run.data.metrics,
        samples=[dict(zip(table["columns"], row, strict=True)) for row in table["data"]],
        options=named_options(p),
    )


def _facts(by_kind: Mapping[str, Sequence[Run]]) -> dict[str, str]:
    policy, gold = by_kind[Kind.INITIAL_POLICY][0].data, by_kind[Kind.GOLD_RM][0].data
    samples = next(run.data for run in by_kind[Kind.POOL] if "curve_prompts" in run.data.params)
    return {
        "World": f"{policy.params['world']}, world seed {policy.params['world_seed']}",
        **_excluded_prompts(policy),
        "Initial policy": f"{policy.params['policy_size']} ({int(policy.params['policy_params']):,} parameters)",
        "Gold": _gold(gold, samples.metrics.get(Metric.POOL_GOLD_HUMAN_CORRELATION)),
        "Comparisons": _comparisons(by_kind.get(Kind.COMPARISONS, [])),
        "Curve prompts": f"{samples.params['curve_prompts']}, {samples.params['pool_samples']} pool samples each",
        **_sampler([run.data for run in by_kind.get(Kind.POOL_SAMPLES, [])]),
    }


def _sampler(samples: Sequence[RunData]) -> dict[str, str]:
    """How far a sampler from elsewhere is from the policy, beside whose KL it stands; nothing where there is none."""
    found = next((each for each in samples if Metric.SAMPLER_KL in each.metrics), None)
    if found is None:
        return {}
    gap, se = found.metrics[Metric.SAMPLER_KL], found.metrics[Metric.SAMPLER_KL_SE]
    source = found.params.get("sampler") or Path(found.params["pool_path"]).name
    return {
        "Sampler of the pool": f"{source}: KL from the policy {gap:.3g} +- {1.96 * se:.2g} nats per response, measured "
        f"on {found.metrics[Metric.SAMPLER_CHECKED]:.0f} of them; every KL of best-of-n is from this sampler"
    }


def _work(members: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What the study took."""
    new = [member for member in members if not member["reused"]]
    return {
        "Steps": f"{len(new)} new, {len(members) - len(new)} reused",
        "Compute": f"{sum(m['seconds'] for m in new):.0f} process seconds, "
        f"{sum(m['tracking_seconds'] for m in new):.1f} of them for tracking",
    }


def _gold(gold: RunData, correlation: float | None) -> str:
    """What serves as gold, and how far it can be trusted."""
    kind, size = kind_of_run(gold.tags), gold.params["gold_size"]
    parameters = f" ({int(gold.params['rm_params']):,} parameters)" if int(gold.params.get("rm_params", 0)) else ""
    if kind == GoldKind.TRAINED:
        accuracy = gold.metrics[Metric.RM_ACCURACY_INITIAL_POLICY]
        return (
            f"RM {size}{parameters}; agrees with the human on {accuracy:.0%} of pairs of initial-policy responses; "
            f"their scores correlate at {correlation if correlation else math.nan:.2f}"
        )
    if kind == GoldKind.TEST_RM:
        return f"none; test RM {size}{parameters}, trained on the half of the comparisons that no proxy was trained on"
    return f"{kind} {size}{parameters}"


def _comparisons(runs: Sequence[Run]) -> str:
    if not runs:
        return "none: all proxies are external"
    data = runs[0].data
    return f"{data.metrics[Metric.COMPARISONS_COUNT]:.0f}, label noise {float(data.params['label_noise']):.0%}"


def _excluded_prompts(policy: RunData) -> dict[str, str]:
    """Rows of the user's file that were skipped, and prompts that were too long."""
    skipped, long = (int(policy.metrics.get(MetricPrefix.PROMPTS + name, 0)) for name in ("rows_skipped", "too_long"))
    if not skipped and not long:
        return {}
    return {
        "Prompts": f"{skipped} invalid rows skipped, {long} too long (long_prompts={policy.params['long_prompts']})"
    }


def _promotion(run: Run) -> dict[str, str]:
    tags, name = run.data.tags, run.data.params["registered_model"]
    passed = tags[Tag.PROMOTION_VERDICT] == PromotionResult.PASSED
    return {
        "Model": f"models:/{name}@champion" if passed else f"{name}: the candidate was rejected",
        "Version": tags[Tag.CANDIDATE_VERSION],
        "RM size": tags[Tag.CANDIDATE_RM_SIZE],
        "Seed": f"{tags[Tag.CANDIDATE_SEED]} alone, at the peak of its own curve",
        "Peak gold": f"{run.data.metrics[Metric.CANDIDATE_PEAK_GOLD]:.2f} standard deviations, by "
        f"{run.data.params['method']}",
        "Run": f"{run.info.run_id}, {datetime.fromtimestamp(run.info.start_time / 1000, UTC):%Y-%m-%d %H:%M} UTC",
        **({} if passed else {"Reason": tags[MlflowTag.NOTE].replace("\n\n", "; ")}),
    }


def _gates(client: MlflowClient, promotion: Run) -> list[dict[str, Any]]:
    """Rows of a promotion's table of gates."""
    table = json.loads((artifact(client, promotion.info.run_id) / Artifact.GATE_RESULTS).read_text())
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def _outcome(client: MlflowClient, run: Run, proxies: Collection[str]) -> Outcome:
    """What a promotion proposed, and what became of it.

    Args:
        client: of the tracking server.
        run: the promotion.
        proxies: run ids of the study's own reward models.
    """
    p, tags = run.data.params, run.data.tags
    champion, gates = p.get("champion_before", "none"), _gates(client, run)
    audited = ", the margin on audit prompts" if any(row["gate"] == "margin" for row in gates) else ""
    return Outcome(
        run_id=run.info.run_id,
        rm=tags[Tag.CANDIDATE_RM_SIZE],
        seed=tags[Tag.CANDIDATE_SEED],
        version=tags[Tag.CANDIDATE_VERSION],
        passed=tags[Tag.PROMOTION_VERDICT] == PromotionResult.PASSED,
        failed=[row["gate"] for row in gates if not row["holds"]],
        champion_before="" if champion == "none" else champion,
        reason=tags.get(Tag.PROMOTION_PROPOSED, ""),
        in_study=json.loads(tags.get(Tag.INPUTS, "{}")).get(Role.PROXY_RM) in proxies,
        basis="" if Tag.PROMOTION_NOT_ANSWERED in tags else f"Gates are checked on one seed{audited}.",
    )


def _audit(run: Run) -> tuple[str, Estimate]:
    """The policy run that was audited, and its gold on the audit prompts with a 95 % interval."""
    gold, half = run.data.metrics[Metric.AUDIT_GOLD], Z_975 * run.data.metrics[Metric.AUDIT_GOLD_SE]
    return json.loads(run.data.tags[Tag.INPUTS])[Role.POLICY_RUN], Estimate(gold, gold - half, gold + half)
