"""Reads a study back from its runs into the records that the report is made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import Run, RunData

from mlproject.config.rules import TRAINED
from mlproject.curve import Curve
from mlproject.names import Artifact, GateResult, GoldKind, Kind, Metric, MetricPrefix, MlflowTag, Tag
from mlproject.report.records import PolicyRunRecord, ProxyRecord, Report
from mlproject.search.trials import read_trials


def collect(client: MlflowClient, members: Sequence[Mapping[str, Any]], title: str, link: str) -> Report:
    """Everything about a study.

    Args:
        client: of the tracking server.
        members: rows of the study's `steps.json`.
        title, link: of the report.
    """
    by_kind: dict[str, list[Run]] = {}
    for member in members:
        by_kind.setdefault(member["kind"], []).append(client.get_run(member["run_id"]))
    laws_run = by_kind[Kind.LAW][0]
    laws = json.loads((_artifacts(client, laws_run) / Artifact.LAWS).read_text())
    in_study = set(json.loads(laws_run.data.tags[Tag.INPUTS]).values())
    curves = [_policy_run(client, run) for run in by_kind[Kind.POLICY_RUN] if run.info.run_id in in_study]
    proxies = [
        ProxyRecord(run.info.run_id, p["rm_size"], int(p["rm_params"]), int(p["seed"]), run.data.metrics)
        for run in by_kind[Kind.PROXY_RM]
        for p in [run.data.params]
    ]
    searches, promotions = by_kind.get(Kind.SEARCH, []), by_kind.get(Kind.PROMOTION, [])
    return Report(
        title=title,
        facts=_facts(by_kind, members),
        proxies=sorted(proxies, key=lambda p: (p.rm_params, p.seed)),
        policy_runs=sorted(curves, key=lambda c: (c.method, c.rm_params, c.seed)),
        laws=laws,
        trials=read_trials(_artifacts(client, searches[0]) / Artifact.TRIALS) if searches else [],
        promotion=_promotion(promotions[0]) if promotions else {},
        link=link,
        gold="test RM" if by_kind[Kind.GOLD_RM][0].data.tags.get(Tag.GOLD) == GoldKind.TEST_RM else "gold",
    )


def _policy_run(client: MlflowClient, run: Run) -> PolicyRunRecord:
    p, folder = run.data.params, _artifacts(client, run)
    table = json.loads((folder / Artifact.SAMPLES).read_text())
    return PolicyRunRecord(
        run_id=run.info.run_id,
        method=p["method"],
        rm_size=p["rm_size"],
        rm_params=int(p["rm_params"]),
        seed=int(p["seed"]),
        kl_coef=float(p.get("kl_coef", 0.0)),
        curve=Curve.load(folder / Artifact.CURVE),
        metrics=run.data.metrics,
        samples=[dict(zip(table["columns"], row, strict=True)) for row in table["data"]],
    )


def _facts(by_kind: Mapping[str, Sequence[Run]], members: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    policy, gold = by_kind[Kind.INITIAL_POLICY][0].data, by_kind[Kind.GOLD_RM][0].data
    samples = next(run.data for run in by_kind[Kind.POOL] if "curve_prompts" in run.data.params)
    made = [member for member in members if not member["reused"]]
    return {
        "World": f"{policy.params['world']}, world seed {policy.params['world_seed']}",
        **_left_out(policy),
        "Initial policy": f"{policy.params['policy_size']} ({int(policy.params['policy_params']):,} parameters)",
        "Gold": _gold(gold, samples.metrics.get(Metric.POOL_GOLD_HUMAN_CORRELATION)),
        "Comparisons": _comparisons(by_kind.get(Kind.COMPARISONS, [])),
        "Curve prompts": f"{samples.params['curve_prompts']}, {samples.params['pool_samples']} pool samples each",
        "Steps": f"{len(made)} made, {len(members) - len(made)} reused",
        "Work": f"{sum(m['seconds'] for m in made):.0f} process seconds, of them "
        f"{sum(m['tracking_seconds'] for m in made):.1f} for tracking",
    }


def _gold(gold: RunData, correlation: float | None) -> str:
    """What plays gold, and how far it is to be trusted."""
    kind, size = gold.tags.get(Tag.GOLD, TRAINED), gold.params["gold_size"]
    parameters = f" ({int(gold.params['rm_params']):,} parameters)" if int(gold.params.get("rm_params", 0)) else ""
    if kind == TRAINED:
        agreement = gold.metrics[Metric.RM_ACCURACY_INITIAL_POLICY]
        return (
            f"RM {size}{parameters}, agrees with the human on {agreement:.0%} of the "
            f"initial policy's pairs; correlation of their scores {correlation if correlation else float('nan'):.2f}"
        )
    if kind == GoldKind.TEST_RM:
        return f"there is none: test RM {size}{parameters}, trained on the half of the comparisons that no proxy saw"
    return f"{kind} {size}{parameters}"


def _comparisons(runs: Sequence[Run]) -> str:
    if not runs:
        return "none: all proxies were taken over"
    known = runs[0].data
    return f"{known.metrics[Metric.COMPARISONS_COUNT]:.0f}, label noise {float(known.params['label_noise']):.0%}"


def _left_out(policy: RunData) -> dict[str, str]:
    """Rows of a user's file that were skipped, and prompts that were too long."""
    skipped, long = (int(policy.metrics.get(MetricPrefix.PROMPTS + name, 0)) for name in ("rows_skipped", "too_long"))
    if not skipped and not long:
        return {}
    return {"Prompts": f"{skipped} wrong rows left out, {long} too long ({policy.params['long_prompts']})"}


def _promotion(run: Run) -> dict[str, str]:
    tags, name = run.data.tags, run.data.params["registered_model"]
    passed = tags[Tag.PROMOTION_VERDICT] == GateResult.PASSED
    return {
        "Model": f"models:/{name}@champion" if passed else f"{name}: the candidate was refused",
        "Version": tags[Tag.CANDIDATE_VERSION],
        "RM size": tags[Tag.CANDIDATE_RM_SIZE],
        "Seed": tags[Tag.CANDIDATE_SEED],
        "Peak gold": f"{run.data.metrics[Metric.CANDIDATE_PEAK_GOLD]:.2f} standard deviations, by "
        f"{run.data.params['method']}",
        **({} if passed else {"Why": tags[MlflowTag.NOTE].replace("\n\n", "; ")}),
    }


def _artifacts(client: MlflowClient, run: Run) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, tracking_uri=client.tracking_uri))
