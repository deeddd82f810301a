"""Reads a study back from its runs into the records that the report is made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import Run, RunData

from mlproject.config.rules import GOLD, TEST_RM, TRAINED
from mlproject.curve import Curve
from mlproject.pipeline import law
from mlproject.pipeline.policy_run import CURVE, SAMPLES
from mlproject.report.records import PolicyRunRecord, ProxyRecord, Report
from mlproject.search.search import TRIALS
from mlproject.search.trials import read_trials
from mlproject.tracking.runs import INPUTS


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
    laws_run = by_kind["law"][0]
    laws = json.loads((_artifacts(client, laws_run) / law.FILE).read_text())
    in_study = set(json.loads(laws_run.data.tags[INPUTS]).values())
    curves = [_policy_run(client, run) for run in by_kind["policy-run"] if run.info.run_id in in_study]
    proxies = [
        ProxyRecord(run.info.run_id, p["rm_size"], int(p["rm_params"]), int(p["seed"]), run.data.metrics)
        for run in by_kind["proxy-rm"]
        for p in [run.data.params]
    ]
    searches, promotions = by_kind.get("search", []), by_kind.get("promotion", [])
    return Report(
        title=title,
        facts=_facts(by_kind, members),
        proxies=sorted(proxies, key=lambda p: (p.rm_params, p.seed)),
        policy_runs=sorted(curves, key=lambda c: (c.method, c.rm_params, c.seed)),
        laws=laws,
        trials=read_trials(_artifacts(client, searches[0]) / TRIALS) if searches else [],
        promotion=_promotion(promotions[0]) if promotions else {},
        link=link,
        gold="test RM" if by_kind["gold-rm"][0].data.tags.get(GOLD) == TEST_RM else "gold",
    )


def _policy_run(client: MlflowClient, run: Run) -> PolicyRunRecord:
    p, folder = run.data.params, _artifacts(client, run)
    table = json.loads((folder / SAMPLES).read_text())
    return PolicyRunRecord(
        run_id=run.info.run_id,
        method=p["method"],
        rm_size=p["rm_size"],
        rm_params=int(p["rm_params"]),
        seed=int(p["seed"]),
        kl_coef=float(p.get("kl_coef", 0.0)),
        curve=Curve.load(folder / CURVE),
        metrics=run.data.metrics,
        samples=[dict(zip(table["columns"], row, strict=True)) for row in table["data"]],
    )


def _facts(by_kind: Mapping[str, Sequence[Run]], members: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    policy, gold = by_kind["initial-policy"][0].data, by_kind["gold-rm"][0].data
    samples = next(run.data for run in by_kind["pool"] if "curve_prompts" in run.data.params)
    made = [member for member in members if not member["reused"]]
    return {
        "World": f"{policy.params['world']}, world seed {policy.params['world_seed']}",
        **_left_out(policy),
        "Initial policy": f"{policy.params['policy_size']} ({int(policy.params['policy_params']):,} parameters)",
        "Gold": _gold(gold, samples.metrics.get("pool/gold_human_correlation")),
        "Comparisons": _comparisons(by_kind.get("comparisons", [])),
        "Curve prompts": f"{samples.params['curve_prompts']}, {samples.params['pool_samples']} pool samples each",
        "Steps": f"{len(made)} made, {len(members) - len(made)} reused",
        "Work": f"{sum(m['seconds'] for m in made):.0f} process seconds, of them "
        f"{sum(m['tracking_seconds'] for m in made):.1f} for tracking",
    }


def _gold(gold: RunData, correlation: float | None) -> str:
    """What plays gold, and how far it is to be trusted."""
    kind, size = gold.tags.get(GOLD, TRAINED), gold.params["gold_size"]
    parameters = f" ({int(gold.params['rm_params']):,} parameters)" if int(gold.params.get("rm_params", 0)) else ""
    if kind == TRAINED:
        return (
            f"RM {size}{parameters}, agrees with the human on {gold.metrics['rm/accuracy_initial_policy']:.0%} of the "
            f"initial policy's pairs; correlation of their scores {correlation if correlation else float('nan'):.2f}"
        )
    if kind == TEST_RM:
        return f"there is none: test RM {size}{parameters}, trained on the half of the comparisons that no proxy saw"
    return f"{kind} {size}{parameters}"


def _comparisons(runs: Sequence[Run]) -> str:
    if not runs:
        return "none: all proxies were taken over"
    known = runs[0].data
    return f"{known.metrics['comparisons/count']:.0f}, label noise {float(known.params['label_noise']):.0%}"


def _left_out(policy: RunData) -> dict[str, str]:
    """Rows of a user's file that were skipped, and prompts that were too long."""
    skipped, long = (int(policy.metrics.get(f"prompts/{name}", 0)) for name in ("rows_skipped", "too_long"))
    if not skipped and not long:
        return {}
    return {"Prompts": f"{skipped} wrong rows left out, {long} too long ({policy.params['long_prompts']})"}


def _promotion(run: Run) -> dict[str, str]:
    tags, name = run.data.tags, run.data.params["registered_model"]
    passed = tags["promotion.verdict"] == "passed"
    return {
        "Model": f"models:/{name}@champion" if passed else f"{name}: the candidate was refused",
        "Version": tags["candidate.version"],
        "RM size": tags["candidate.rm_size"],
        "Seed": tags["candidate.seed"],
        "Peak gold": f"{run.data.metrics['candidate/peak_gold']:.2f} standard deviations, by "
        f"{run.data.params['method']}",
        **({} if passed else {"Why": tags["mlflow.note.content"].replace("\n\n", "; ")}),
    }


def _artifacts(client: MlflowClient, run: Run) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, tracking_uri=client.tracking_uri))
