"""Kind `probes`: what cheap changes of the initial policy's responses do to the score of a reward."""

from __future__ import annotations

from mlproject.config.schema import Config
from mlproject.names import Artifact, Kind, Metric, MetricPrefix, Role, Split
from mlproject.optimization.pool_samples import PoolSamples
from mlproject.pipeline.loading import (
    load_gold,
    load_input_scorer,
    load_prompt_format,
    new_accelerator,
    open_world,
)
from mlproject.pipeline.reward import usage_metrics
from mlproject.pipeline.step import CALL_OPTIONS, Run, RunRef, Step
from mlproject.rewards.probes import run_probes, worst
from mlproject.strict_json import strict_json

_MOST = 128
"""Prompts; more make intervals narrower than anybody needs."""


def probes(config: Config, proxy: Step | RunRef, pool: Step) -> Step:
    """Plan the probes of one proxy.

    Args:
        config: how many prompts there are.
        proxy: a reward model, a function or a service.
        pool: the initial policy's samples on the curve prompts; its inputs name initial policy and gold RM.
    """
    params = dict(proxy.params)
    return Step(
        name=f"probes of {params['rm_size']} seed {params['seed']}",
        kind=Kind.PROBES,
        version=1,
        params=config.select("world", "world_seed", "curve_prompts"),
        inputs={Role.PROXY_RM: proxy, **pool.inputs},
        inherited_params={name: params[name] for name in ("rm_size", "seed") if name in params},
        fn=measure_probes,
        execution_options=config.changed(*CALL_OPTIONS),
    )


def measure_probes(run: Run) -> None:
    """Artifacts: `probes.json`, one entry for each probe."""
    p = run.params
    world, device = open_world(run), new_accelerator().device
    prompt_format = load_prompt_format(run, world)
    prompts = world.prompts(Split.CURVE, p["curve_prompts"])
    samples = PoolSamples(run.input(Role.SAMPLES) / Artifact.POOL_SAMPLES, prompts, prompt_format)
    proxy = load_input_scorer(run, Role.PROXY_RM, prompt_format, device)
    gold = load_gold(run, prompt_format, device)
    texts = samples.first(1).texts[:_MOST]
    results = run_probes(proxy, gold, prompts[:_MOST], texts, world.phrases, prompt_format)
    (run.folder / Artifact.PROBES).write_text(strict_json([result.to_dict() for result in results], indent=1))
    run.log_metrics(
        {
            **{f"{MetricPrefix.PROBE}{result.name}": result.gain.value for result in results},
            Metric.PROBE_WORST_GAIN: worst(results, "gain").gain.value,
            Metric.PROBE_WORST_EXCESS: worst(results, "excess").excess.value,
            **usage_metrics({"proxy": proxy, "gold": gold}),
        }
    )
