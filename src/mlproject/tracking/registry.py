"""The registry, kind `promotion`: every proxy RM becomes a registered version, the one that peaks highest is champion.

Only curves measured on the same pool (same gold RM, same prompts) are compared. A proxy's figure is the highest
`peak/gold` among its methods, each the mean over its runs.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.artifacts
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlproject.errors import UserError
from mlproject.optimization import METHODS
from mlproject.steps.policy_run import COMPLETE, METHOD
from mlproject.steps.step import Made, Step
from mlproject.tracking.runs import FINGERPRINT, INPUTS, KIND, PROXY_RUN, StepRun, as_text
from mlproject.tracking.store import Store, all_runs

if TYPE_CHECKING:
    from mlproject.config import Config

CHAMPION = "champion"
_SCORER_FOLDER = "scorer"
_EXAMPLE = pd.DataFrame(
    {"prompt": ["hello , my old phone is very slow . please help"], "response": ["restart phone ."]}
)
_REQUIREMENTS = ("mlflow", "pandas", "torch", "transformers")


@dataclass(frozen=True)
class Candidate:
    """A proxy RM with the figure that decides on it.

    Attributes:
        proxy_run_id: of the proxy RM's run.
        evidence: the policy run with the highest peak by the deciding method.
        method: that method.
        peak_gold: mean of `peak/gold` over the proxy's runs by it, standard deviations.
    """

    proxy_run_id: str
    evidence: Run
    method: str
    peak_gold: float


def promotion_step(config: Config, store: Store, pool_run_id: str) -> Step:
    """The step that registers all proxies with curves on a pool, and promotes the best.

    Raises:
        UserError: where no curve was measured on it.
    """
    curves = [
        run
        for run in all_runs(store.client(), [store.policy_runs], "attributes.status = 'FINISHED'")
        if json.loads(run.data.tags.get(INPUTS, "{}")).get("pool") == pool_run_id
        and run.data.tags.get(COMPLETE) != "false"
        and _has_options_of(config, run)
    ]
    if not curves:
        raise UserError("promote: no finished curve for this configuration; run `main`, `ppo` or `best_of_n` first")
    inputs = {run.info.run_id: Made(run.info.run_id, run.data.tags[FINGERPRINT]) for run in curves}
    return Step(
        name=f"promotion in {config.registered_model}",
        kind="promotion",
        version=1,
        params=config.select("registered_model"),
        inputs=dict(sorted(inputs.items(), key=lambda item: item[1].fingerprint)),
        work=__name__,
    )


def _has_options_of(config: Config, run: Run) -> bool:
    """Whether a curve was drawn with the configuration's own options of its method: others are another experiment."""
    method = METHODS.get(run.data.tags.get(METHOD, ""))
    return method is not None and all(
        run.data.params.get(name) == as_text(value) for name, value in config.select(*method.options).items()
    )


def still_holds(client: MlflowClient, promotion_run_id: str) -> bool:
    """Whether the champion that a promotion made is champion now."""
    run = client.get_run(promotion_run_id)
    try:
        holder = client.get_model_version_by_alias(run.data.params["registered_model"], CHAMPION)
    except MlflowException:
        return False
    return holder.tags.get(PROXY_RUN) == run.data.tags[PROXY_RUN]


def work(run: StepRun) -> None:
    """Register every candidate and move the alias to the best; metrics and tags say what was decided."""
    client, name = run.client, run.params["registered_model"]
    candidates = rank(client, run.inputs.values())
    try:
        client.create_registered_model(name, description="Proxy reward models, by how they hold up under optimization.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = {c.proxy_run_id: register(client, name, c) for c in candidates}
    best = candidates[0]
    client.set_registered_model_alias(name, CHAMPION, versions[best.proxy_run_id])
    run.log_metrics({"champion/peak_gold": best.peak_gold, "candidates": len(candidates)})
    run.set_tags(
        {
            "champion.version": versions[best.proxy_run_id],
            "champion.rm_size": best.evidence.data.params["rm_size"],
            "champion.seed": best.evidence.data.params["seed"],
            "champion.method": best.method,
            PROXY_RUN: best.proxy_run_id,
        }
    )
    run.log_table(
        [
            {
                "version": versions[c.proxy_run_id],
                "rm_size": c.evidence.data.params["rm_size"],
                "seed": c.evidence.data.params["seed"],
                "method": c.method,
                "peak_gold": round(c.peak_gold, 4),
                "proxy_run_id": c.proxy_run_id,
            }
            for c in candidates
        ],
        "candidates.json",
    )


def rank(client: MlflowClient, policy_run_ids: Any) -> list[Candidate]:
    """Candidates by peak gold, the highest first."""
    by_proxy: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run_id in policy_run_ids:
        run = client.get_run(run_id)
        by_proxy[run.data.tags[PROXY_RUN]][run.data.tags[METHOD]].append(run)
    candidates = []
    for proxy_run_id, methods in by_proxy.items():
        means = {m: sum(r.data.metrics["peak/gold"] for r in runs) / len(runs) for m, runs in methods.items()}
        method = max(means, key=means.__getitem__)
        evidence = max(methods[method], key=lambda r: r.data.metrics["peak/gold"])
        candidates.append(Candidate(proxy_run_id, evidence, method, means[method]))
    return sorted(candidates, key=lambda c: -c.peak_gold)


def register(client: MlflowClient, name: str, candidate: Candidate) -> str:
    """Make a proxy RM a version of the registered model, unless it is one; bring its tags up to date.

    Returns:
        the version.
    """
    known = {v.tags.get(PROXY_RUN): v for v in client.search_model_versions(f"name = '{name}'")}
    proxy = client.get_run(candidate.proxy_run_id)
    if candidate.proxy_run_id in known:
        made = known[candidate.proxy_run_id]
    else:
        log_scorer(client, candidate.proxy_run_id)
        made = client.create_model_version(
            name,
            source=f"{proxy.info.artifact_uri}/{_SCORER_FOLDER}",
            run_id=candidate.proxy_run_id,
            tags={PROXY_RUN: candidate.proxy_run_id},
            description=_description(proxy, candidate),
        )
    for key, value in _version_tags(proxy, candidate).items():
        client.set_model_version_tag(name, made.version, key, value)
    return str(made.version)


def log_scorer(client: MlflowClient, proxy_run_id: str) -> None:
    """Save the proxy RM as a pyfunc that stands on its own, among its run's artifacts (no pickle in it)."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from mlproject.steps.common import MODEL_FOLDER

    model = mlflow.artifacts.download_artifacts(
        run_id=proxy_run_id, artifact_path=MODEL_FOLDER, tracking_uri=client.tracking_uri
    )
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # says that it looks at the example
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / _SCORER_FOLDER
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(Path(__file__).with_name("scorer.py")),
            artifacts={"model": model},
            signature=ModelSignature(
                inputs=Schema([ColSpec("string", "prompt"), ColSpec("string", "response")]),
                outputs=Schema([ColSpec("double", "reward")]),
            ),
            input_example=_EXAMPLE,
            pip_requirements=[f"{package}=={installed(package).partition('+')[0]}" for package in _REQUIREMENTS],
        )
        client.log_artifacts(proxy_run_id, str(folder), _SCORER_FOLDER)


def resolve_proxy(client: MlflowClient, given: str) -> Run:
    """The run of a proxy RM given by run id or registry URI (`models:/NAME@ALIAS`, `models:/NAME/VERSION`).

    Raises:
        UserError: where there is none.
    """
    try:
        if given.startswith("models:/"):
            name, _, alias = given.removeprefix("models:/").partition("@")
            if alias:
                version = client.get_model_version_by_alias(name, alias)
            else:
                version = client.get_model_version(*name.split("/"))
            run = client.get_run(version.tags.get(PROXY_RUN) or version.run_id)
        else:
            run = client.get_run(given)
    except (MlflowException, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"proxy={given}: not found ({reason}); give a size, a run id or models:/NAME@ALIAS") from None
    kind = run.data.tags.get(KIND)
    if kind != "proxy-rm" or run.info.status != "FINISHED":
        raise UserError(f"proxy={given}: is a {kind or 'foreign'} run, {run.info.status}; give a finished proxy-rm run")
    return run


def _version_tags(proxy: Run, candidate: Candidate) -> Mapping[str, str]:
    figures = {
        name: candidate.evidence.data.metrics.get(name)
        for name in ("peak/gold_se", "peak/kl", "peak/step", "law/alpha", "law/beta")
    } | {name: proxy.data.metrics.get(name) for name in ("rm/val_accuracy", "rm/val_loss", "rm/ece", "rm/scale")}
    return {
        "peak/gold": f"{candidate.peak_gold:.4g}",
        **{name: f"{value:.4g}" for name, value in figures.items() if value is not None},
        "method": candidate.method,
        "policy_run_id": candidate.evidence.info.run_id,
        **{
            name: proxy.data.params[name]
            for name in ("rm_size", "rm_params", "seed", "n_comparisons")
            if name in proxy.data.params
        },
    }


def _description(proxy: Run, candidate: Candidate) -> str:
    params = proxy.data.params
    return (
        f"Proxy reward model of size {params['rm_size']} ({params.get('rm_params')} parameters without embeddings), "
        f"seed {params['seed']}, trained on {params.get('n_comparisons')} comparisons. Policies optimized against it "
        f"by {candidate.method} peak at a gold score of {candidate.peak_gold:.2f} standard deviations. "
        "Input: prompt, response; output: reward in gold standard deviations above the initial policy."
    )
