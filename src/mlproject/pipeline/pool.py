"""Kinds `pool-samples` and `pool`: N samples of the initial policy for every prompt of a split, and their scores.

The samples need the initial policy alone, so that they are drawn while the gold RM is trained.
"""

from __future__ import annotations

import numpy as np

from mlproject.config.schema import Config
from mlproject.names import Artifact, Kind, Metric, Role, Split
from mlproject.optimization.pool_samples import PoolSamples, draw_samples
from mlproject.optimization.sample_pool import score_pool
from mlproject.pipeline.external.pool import import_samples, pool_params
from mlproject.pipeline.loading import (
    SAMPLE_BATCH,
    human_units,
    load_gold,
    load_policy,
    load_prompt_format,
    new_accelerator,
    open_world,
    torch_generator,
)
from mlproject.pipeline.reward import usage_metrics
from mlproject.pipeline.step import CALL_OPTIONS, Run, RunRef, Step


def pool(config: Config, policy: Step | RunRef, gold: Step | RunRef, split: str = Split.CURVE) -> Step:
    """Plan the pool of the `curve` prompts, or of those of another split."""
    samples = pool_samples(config, policy, split)
    return Step(
        name=samples.name.replace("samples", "pool"),
        kind=Kind.POOL,
        version=2,
        params=samples.params,
        inputs={Role.INITIAL_POLICY: policy, Role.GOLD_RM: gold, Role.SAMPLES: samples},
        fn=make_pool,
        execution_options=config.changed(*CALL_OPTIONS),
    )


def pool_samples(config: Config, policy: Step | RunRef, split: str = Split.CURVE) -> Step:
    """Plan the samples of a pool."""
    prompts, elsewhere = f"{split}_prompts", pool_params(config, split)
    return Step(
        name=f"{'' if split == Split.CURVE else split + ' '}samples {getattr(config, prompts)} x {config.pool_samples}",
        kind=Kind.POOL_SAMPLES,
        version=1,
        params={
            **config.select("world", "world_seed", prompts, "pool_samples"),
            **({} if split == Split.CURVE else {"split": split}),
            **elsewhere,
        },
        inputs={Role.INITIAL_POLICY: policy},
        fn=import_samples if elsewhere else sample_pool,
        execution_options=config.changed(*CALL_OPTIONS) if elsewhere else {},
    )


def sample_pool(run: Run) -> None:
    """Sample the pool. Artifacts: `samples/` (see `mlproject.optimization.pool_samples`)."""
    p = run.params
    split = p.get("split", Split.CURVE)
    world = open_world(run)
    device = new_accelerator().device
    folder = run.folder / Artifact.POOL_SAMPLES
    folder.mkdir()
    draw_samples(
        load_policy(run.input(Role.INITIAL_POLICY), device),
        world.prompts(split, p[f"{split}_prompts"]),
        p["pool_samples"],
        folder,
        prompt_format=load_prompt_format(run, world),
        world=world,
        generator=torch_generator("pool" if split == Split.CURVE else f"{split} pool", p["world_seed"], device=device),
        batch=SAMPLE_BATCH,
        progress=run.progress,
        resumption=run.resumption,
    )


def make_pool(run: Run) -> None:
    """Score the samples. Artifacts: `pool.safetensors` (see `mlproject.optimization.sample_pool.Pool`)."""
    p = run.params
    split = p.get("split", Split.CURVE)
    world = open_world(run)
    prompt_format = load_prompt_format(run, world)
    samples = PoolSamples(
        run.input(Role.SAMPLES) / Artifact.POOL_SAMPLES, world.prompts(split, p[f"{split}_prompts"]), prompt_format
    )
    gold = load_gold(run, prompt_format, new_accelerator().device)
    pool = score_pool(samples, gold, human_units(run), run.resumption)
    pool.save(run.folder / Artifact.POOL)
    metrics = {
        Metric.POOL_GOLD_MEAN: float(pool.gold_PN.mean()),
        Metric.POOL_GOLD_STD: float(pool.gold_PN.std()),
        Metric.POOL_DISTINCT: samples.distinct,
        Metric.POOL_MEAN_LENGTH: samples.mean_length,
        **usage_metrics({"gold": gold}),
    }
    if pool.human_PN is not None:
        metrics[Metric.POOL_GOLD_HUMAN_CORRELATION] = float(
            np.corrcoef(pool.gold_PN.ravel(), pool.human_PN.ravel())[0, 1]
        )
    run.log_metrics(metrics)
