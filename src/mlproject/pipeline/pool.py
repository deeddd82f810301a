"""Kind `pool`: N samples of the initial policy for every prompt of a split, with gold and human scores."""

from __future__ import annotations

import numpy as np

from mlproject.config.schema import Config
from mlproject.models.sequences import unique
from mlproject.names import Artifact, Kind, Metric, Role, Split
from mlproject.optimization.sample_pool import draw_pool
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
from mlproject.pipeline.step import Run, RunRef, Step


def pool(config: Config, policy: Step | RunRef, gold: Step | RunRef, split: str = Split.CURVE) -> Step:
    """Plan the pool of the `curve` prompts, or of those of another split."""
    prompts = f"{split}_prompts"
    return Step(
        name=f"{'' if split == Split.CURVE else split + ' '}pool {getattr(config, prompts)} x {config.pool_samples}",
        kind=Kind.POOL,
        version=1,
        params={
            **config.select("world", "world_seed", prompts, "pool_samples"),
            **({} if split == Split.CURVE else {"split": split}),
        },
        inputs={Role.INITIAL_POLICY: policy, Role.GOLD_RM: gold},
        fn=sample_pool,
    )


def sample_pool(run: Run) -> None:
    """Sample and score the pool. Artifacts: `pool.safetensors` (see `mlproject.optimization.sample_pool.Pool`)."""
    p = run.params
    split = p.get("split", Split.CURVE)
    world = open_world(run)
    device = new_accelerator().device
    prompt_format = load_prompt_format(run, world)
    drawn = draw_pool(
        load_policy(run.input(Role.INITIAL_POLICY), device),
        world.prompts(split, p[f"{split}_prompts"]),
        p["pool_samples"],
        prompt_format=prompt_format,
        gold=load_gold(run, prompt_format, device),
        world=world,
        human_units=human_units(run),
        generator=torch_generator("pool" if split == Split.CURVE else f"{split} pool", p["world_seed"], device=device),
        batch=SAMPLE_BATCH,
        progress=run.progress,
    )
    drawn.save(run.folder / Artifact.POOL)
    metrics = {
        Metric.POOL_GOLD_MEAN: float(drawn.gold_PN.mean()),
        Metric.POOL_GOLD_STD: float(drawn.gold_PN.std()),
        Metric.POOL_DISTINCT: len(unique(drawn.sequences)[0]) / len(drawn.sequences),
        Metric.POOL_MEAN_LENGTH: float(drawn.sequences.response_lengths_B.double().mean()),
    }
    if drawn.human_PN is not None:
        metrics[Metric.POOL_GOLD_HUMAN_CORRELATION] = float(
            np.corrcoef(drawn.gold_PN.ravel(), drawn.human_PN.ravel())[0, 1]
        )
    run.log_metrics(metrics)
