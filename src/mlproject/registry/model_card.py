"""The model card of a version, rendered from its runs; the template is in `model_registry/`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, StrictUndefined
from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.config.packaged import packaged_or_local
from mlproject.laws.intervals import Estimate
from mlproject.models.gold_source import kind_of_run
from mlproject.names import Artifact, Metric, MetricPrefix, Role, Stage, Statistic, Tag
from mlproject.names.quoting import markdown_quote, markdown_text
from mlproject.optimization import find_method
from mlproject.recommendation.doubt import SeedSpread
from mlproject.recommendation.evidence import evidence_on
from mlproject.recommendation.recommend import Evaluated
from mlproject.recommendation.run_result import run_result
from mlproject.recommendation.sentences import stop_text, window_text
from mlproject.recommendation.setting import Setting
from mlproject.recommendation.stop import stop_of
from mlproject.recommendation.words import interval_text, nats
from mlproject.registry.candidates import Candidate
from mlproject.registry.gates import FOLDER
from mlproject.rewards.probes import ProbeResult
from mlproject.tracking.run_data import artifact, curve_of, values_by_step

TEMPLATE = "model_card.md.jinja"
MAX_DESCRIPTION = 5000
"""Length of a description, in characters, that MLflow's databases can hold."""

_MAX_SAMPLES, _SIGNS = 3, (Statistic.LENGTH, Statistic.REPETITION, Statistic.DISTINCT_2)


def model_card(
    client: MlflowClient,
    name: str,
    version: str,
    candidate: Candidate,
    results: Sequence[str],
    promotions: Mapping[str, str],
    proposed: str = "",
    audits: Mapping[str, Estimate] | None = None,
    evaluated: Sequence[Evaluated] = (),
    probes: Sequence[ProbeResult] = (),
) -> str:
    """The card as Markdown.

    Args:
        client: client of the store.
        name: name of the registered model.
        version: version that the card describes.
        candidate: runs of the reward model.
        results: one line for each gate; empty if the model has not been evaluated.
        promotions: ids of the runs that evaluated it, by what they did; empty if there is none.
        proposed: why it was proposed for promotion; empty where it was not.
        audits: gold on the audit prompts at the peak, by policy run.
        evaluated: settings of the study that proposed it, of which those with further seeds are named.
        probes: what cheap changes of responses do to its scores; empty where that was not measured.
    """
    proxy = candidate.proxy
    inputs = json.loads(proxy.data.tags[Tag.INPUTS])
    lineage = {"proxy RM": proxy.info.run_id, **inputs}
    lineage |= {f"policy run, {method}": run.info.run_id for method, run in candidate.best.items()}
    largest_drop = max(candidate.best.values(), key=lambda run: run.data.metrics[Metric.DROP_GOLD])
    source = packaged_or_local(FOLDER, TEMPLATE).read_text(encoding="utf-8")
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(source)
    return template.render(
        name=name,
        version=version,
        proxy={name: markdown_text(value) for name, value in proxy.data.params.items()},
        metrics=proxy.data.metrics,
        data_digest=_data_digest(client, inputs[Role.COMPARISONS]) if Role.COMPARISONS in inputs else "",
        gold=_gold(client, inputs),
        uses=[
            {**_use(client, method, run, audits or {}), "of_all_seeds": _of_all_seeds(evaluated, run)}
            for method, run in sorted(candidate.best.items())
        ],
        results=results,
        proposed=proposed,
        probes=[{"what": p.what.replace("|", "/"), "gain": str(p.gain), "gold": str(p.gold)} for p in probes],
        signs=_signs(client, largest_drop),
        samples=_overrated(client, largest_drop),
        lineage={**lineage, **promotions},
    )


def description(card: str) -> str:
    """The card, shortened to fit into a version's description; the full card is an artifact of the proxy RM's run."""
    if len(card) <= MAX_DESCRIPTION:
        return card
    ending = f"\n\n(shortened; the full card is the artifact `{Artifact.MODEL_CARD}` of the proxy RM's run)\n"
    return card[: MAX_DESCRIPTION - len(ending)].rpartition("\n")[0] + ending


def _gold(client: MlflowClient, inputs: Mapping[str, str]) -> Mapping[str, str]:
    """What plays gold: a gold RM, or a column of a table of scored samples."""
    if Role.GOLD_RM in inputs:
        gold = client.get_run(inputs[Role.GOLD_RM])
        size = gold.data.params["gold_size"]
    else:
        gold = client.get_run(inputs[Role.SCORED_SAMPLES])
        size = f"a column of {gold.data.params['samples_path']}"
    return {"size": markdown_text(size), "kind": kind_of_run(gold.data.tags), "run_id": gold.info.run_id}


def _use(client: MlflowClient, method: str, run: Run, audits: Mapping[str, Estimate]) -> Mapping[str, Any]:
    m, params = run.data.metrics, run.data.params
    curve = curve_of(client, run.info.run_id)
    seed = int(params["seed"])
    setting = Setting(method, params["rm_size"], 0, {seed: curve}, run_ids={seed: run.info.run_id})
    evaluated = Evaluated(setting, stop_of(setting, SeedSpread()))
    stop, evidence = evaluated.stop, evidence_on(evaluated, audits)
    return {
        "method": method,
        "result": run_result(method, curve),
        "kl": nats(stop.kl),
        "progress": stop.progress,
        "window": window_text(method, stop),
        "place": find_method(method).place(stop.step),
        "kl_coef": params.get("kl_coef", "none"),
        "gold": f"{stop.gold:.2f} {interval_text(stop.gold_interval)}",
        "drop": m[Metric.DROP_GOLD],
        "law": next(figure.text for figure in evidence if figure.name == "law"),
        "evidence": [figure.sentence() for figure in evidence],
        "run_id": run.info.run_id,
    }


def _of_all_seeds(evaluated: Sequence[Evaluated], run: Run) -> str:
    """What the study says of this reward model with all its seeds, where there are several."""
    of_run = [each for each in evaluated if run.info.run_id in each.setting.run_ids.values()]
    if not of_run or of_run[0].setting.seeds < 2 or not of_run[0].stop.is_recommended:
        return ""
    seeds = of_run[0].setting.seeds
    return f"That is one seed; of all {seeds} seeds together the study says: {stop_text(of_run[0])}."


def _signs(client: MlflowClient, run: Run) -> list[dict[str, Any]]:
    """Text statistics of a run at its start, peak and end."""
    rows: list[dict[str, Any]] = []
    for name in _SIGNS:
        values = values_by_step(client, run.info.run_id, MetricPrefix.STATISTICS + name)
        if values:
            start, end, peak = min(values), max(values), int(run.data.metrics[Metric.PEAK_STEP])
            stages = {"start": values[start], "peak": values[peak], "end": values[end]}
            rows.append({"name": name, "method": run.data.params["method"], **stages})
    return rows


def _overrated(client: MlflowClient, run: Run) -> list[dict[str, Any]]:
    """Sample responses at the end of a run with the largest difference between proxy and gold, largest first.

    Prompts and responses are quotations in Markdown, so that nothing in them passes for a part of the card.
    """
    table = json.loads(artifact(client, run.info.run_id, Artifact.SAMPLES).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    ends = [{**row, "method": run.data.params["method"]} for row in rows if row["stage"] == Stage.END]
    overrated = sorted(ends, key=lambda row: row["gold"] - row["proxy"])[:_MAX_SAMPLES]
    return [row | {name: markdown_quote(str(row[name])) for name in ("prompt", "response")} for row in overrated]


def _data_digest(client: MlflowClient, comparisons_run_id: str) -> str:
    return hashlib.sha256(artifact(client, comparisons_run_id, Artifact.COMPARISONS).read_bytes()).hexdigest()
