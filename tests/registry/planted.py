"""A store with all runs of a small study and with curves of known heights, written without training or sampling.

The race tests import this module in their own processes and promote from one store at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mlproject.config.schema import Config, load_config
from mlproject.cures.cure import Start
from mlproject.cures.folder import save_recipe
from mlproject.cures.scorers import ShapedScorer
from mlproject.curve import Curve
from mlproject.laws import Estimate
from mlproject.models.init import new_reward_model
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel
from mlproject.names import Artifact
from mlproject.pipeline.audit import audit
from mlproject.pipeline.probes import probes
from mlproject.pipeline.step import Step, upstream
from mlproject.pipeline.study import plan_curve
from mlproject.registry.candidates import evaluation_context, run_ref
from mlproject.rewards.probes import ProbeResult
from mlproject.tracking.closing import execute
from mlproject.tracking.run_index import RunIndex
from mlproject.tracking.runs import StepRun
from mlproject.tracking.store import Store, open_store
from mlproject.worlds import load_world
from mlproject.worlds.helpdesk.tokenizer import word_tokenizer

OPTIONS = {"curve_prompts": "40", "audit_prompts": "40", "pool_samples": "32", "bon_n_max": "8", "bon_points": "6"}
METHOD = "best-of-n"
D = np.linspace(0, 2, 6)

Heights = Mapping[tuple[str, int], float]
"""Peak gold by RM size and seed."""


def curve_of_height(height: float, spread: float = 0.2) -> Curve:
    """Gold peaks at d = 1.6, the last but one point, and falls a little; the proxy keeps rising."""
    prompts_P = spread * np.random.default_rng(0).normal(size=40)
    gold_S = height * (2 * D / 1.6 - (D / 1.6) ** 2)
    gold_SP = gold_S[:, None] + (D[:, None] > 0) * (prompts_P - prompts_P.mean())
    return Curve(np.array([1, 2, 3, 4, 6, 8]), D**2, 1.2 * height * D[:, None] / 1.6 + 0 * gold_SP, gold_SP)


def config(**more: str) -> Config:
    return load_config("smoke", {**OPTIONS, **more})


def plant(
    folder: Path,
    heights: Heights,
    uri: str = "",
    experiment: str = "",
    audit_lead: float = 0.0,
    options: Mapping[str, str] | None = None,
    **signs: float,
) -> Store:
    """Write the runs of a study whose best-of-n curves have these heights.

    Args:
        folder: becomes the working directory, with the store in it.
        heights: peak gold of each curve.
        uri: tracking URI; empty: SQLite in the folder.
        experiment: name of the experiment; a server keeps the runs of earlier tests, whose artifacts are gone.
        audit_lead: gold on the audit prompts minus gold on the curve prompts.
        options: options that differ from `OPTIONS`.
        signs: text statistics after the first point; at the first point they are constant.
    """
    os.chdir(folder)
    if uri:
        os.environ["MLFLOW_TRACKING_URI"] = uri
    else:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    study = config(**(options or {}), **({"experiment": experiment} if experiment else {}))
    store = open_store(study.experiment)
    existing = RunIndex(store.client(), store).finished
    runs: dict[Step, str] = {}
    for (size, seed), height in heights.items():
        cell = study.replace(rm_size=size, seed=seed)
        curve = plan_curve(cell, METHOD)
        for step in upstream([curve]):
            if step not in runs:
                runs[step] = existing.get(step.fingerprint) or _fill(store, step, runs, height, signs)
        client, context = store.client(), evaluation_context(study)
        proxy = client.get_run(runs[curve.inputs["proxy-rm"]])
        audited = audit(cell, run_ref(client.get_run(runs[curve])), run_ref(proxy), context.audit_pool, METHOD)
        probed = probes(study, run_ref(proxy), context.pool)
        for step in upstream([audited, probed]):
            if step not in runs:
                runs[step] = _fill(store, step, runs, height + audit_lead, signs)
    return store


def promoting(folder: Path, *arguments: str, **options: str) -> int:
    """Runs `promote` in this process, as the command line does, and returns its exit code."""
    from mlproject.__main__ import main

    os.chdir(folder)
    words = [word for name, value in (OPTIONS | options).items() for word in (f"--{name}", value)]
    return main(["promote", "--preset", "smoke", *words, *arguments])


def _fill(store: Store, step: Step, runs: Mapping[Step, str], height: float, signs: Mapping[str, float]) -> str:
    inputs = {role: runs[source] if isinstance(source, Step) else source.run_id for role, source in step.inputs.items()}
    run = StepRun(store, step, inputs, made_by="nobody")

    def fill(run: StepRun) -> None:
        if step.kind == "proxy-rm":
            tokenizer = word_tokenizer(["restart", "phone", "."])
            model = RewardModel(new_reward_model(step.params["rm_size"], tokenizer, step.params["seed"]))
            prompt_format = PromptFormat(tokenizer, 8)
            if step.params.get("reward") == "par":
                world, p = load_world("helpdesk", step.params["world_seed"]), step.params
                prompts = [*world.prompts("curve", p["curve_prompts"]), *world.prompts("audit", p["audit_prompts"])]
                of = dict.fromkeys(prompts, (0.0,))
                shaped = ShapedScorer("par", model, Start(0, 1, -1, 1), of, {"par_k": 1.0, "reference_samples": 1})
                save_recipe(shaped, run.folder / "model", lambda part, folder: part.save(folder, prompt_format))
            else:
                model.with_units(0.1, 2.0).save(run.folder / "model", prompt_format)
            run.log_metrics({"rm/val_accuracy": 0.8, "rm/val_loss": 0.4, "rm/ece": 0.02, "rm/scale": 2.0})
        elif step.kind == "comparisons":
            table = pd.DataFrame({"prompt": ["hi"], "response_a": ["yes"], "response_b": ["no"]})
            table.to_parquet(run.folder / Artifact.COMPARISONS)
        elif step.kind == "policy-run":
            curve = curve_of_height(height)
            curve.save(run.folder / Artifact.CURVE)
            peak, (drop, _) = curve.peak(), curve.drop_after_peak()
            run.log_metrics({"peak/gold": peak.gold, "peak/gold_se": peak.gold_se, "peak/kl": peak.kl})
            run.log_metrics({"peak/step": peak.step, "drop/gold": drop})
            for n in curve.steps_S:
                values = {"length": 1.0, "repetition": 0.1, "distinct-2": 0.9, **(signs if n > 1 else {})}
                run.log_metrics({f"signs/{name}": value for name, value in values.items()}, step=int(n))
                run.log_metrics({"curve/gold": height}, step=int(n))
            row = {"stage": "end", "prompt": "hi", "response": "restart phone .", "proxy": 2.0, "gold": 0.5}
            run.log_table([row], Artifact.SAMPLES)
        elif step.kind == "probes":
            small = Estimate(0.2, 0.1, 0.3)
            results = [ProbeResult(name, f"{name} probe", small, small, small).to_dict() for name in ("cut", "empty")]
            (run.folder / Artifact.PROBES).write_text(json.dumps(results))
        elif step.kind == "audit":
            curve = curve_of_height(height)
            at = int(curve.gold_S.argmax())
            one = slice(at, at + 1)
            Curve(curve.steps_S[one], curve.kl_S[one], curve.proxy_SP[one], curve.gold_SP[one]).save(
                run.folder / Artifact.AUDIT
            )
        (run.folder / "made.json").write_text(json.dumps({"kind": step.kind}))

    torch.manual_seed(0)
    execute(run, fill)
    return run.run_id
