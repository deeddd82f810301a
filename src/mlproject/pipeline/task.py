"""Loads the task of a policy run from the artifacts of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlproject.models.memory import MemoryOptions
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.scorers import NoProxy, Scorer
from mlproject.names import Artifact, Role
from mlproject.optimization import METHODS
from mlproject.optimization.evaluator import Evaluator
from mlproject.optimization.pool_samples import PoolSamples
from mlproject.optimization.sample_pool import Pool
from mlproject.optimization.task import OptimizationTask
from mlproject.pipeline.loading import (
    human_units,
    load_gold,
    load_input_scorer,
    load_policy,
    load_prompt_format,
    new_accelerator,
    open_world,
    stream_seed,
    torch_generator,
)
from mlproject.pipeline.proxy_rm import read_comparisons
from mlproject.pipeline.run_params import RunParams
from mlproject.pipeline.step import Run

if TYPE_CHECKING:
    import accelerate
    from transformers import PreTrainedModel

TRAIN_PROMPTS = 20_000
"""Training prompts for which a method may sample responses."""


@dataclass(frozen=True)
class Measurement:
    """What curve points are measured with, on the prompts of one split.

    Attributes:
        accelerator: device and processes.
        prompt_format: of the policy.
        initial_policy: KL is measured from it.
        start_policy: the policy that is optimized, in a later round perhaps that of the round before.
        proxy: what is optimized; None for a method that needs none.
        samples: of the initial policy.
        evaluator: measures a policy, or a selection from the samples.
        scorers: everything that gives scores, by role.
    """

    accelerator: accelerate.Accelerator
    prompt_format: PromptFormat
    initial_policy: PreTrainedModel
    start_policy: PreTrainedModel
    proxy: Scorer | None
    samples: PoolSamples
    evaluator: Evaluator
    scorers: Mapping[str, Scorer]


def load_measurement(run: Run, split: str, samples_per_prompt: int, has_proxy: bool = True) -> Measurement:
    """Load policies, reward models and pool, and set up the evaluator.

    Args:
        run: its inputs are `initial-policy`, `gold-rm`, `proxy-rm`, `pool`, `samples`, in a later round `earlier`, and
            those that its auxiliary reward models name (`RunParams`).
        split: the split whose prompts the evaluator measures on.
        samples_per_prompt: responses drawn per prompt to measure a policy.
        has_proxy: False where the method's own reward plays the proxy.
    """
    p = run.params
    world = open_world(run)
    accelerator = new_accelerator()  # float32: a method itself chooses where less precision will do
    prompt_format = load_prompt_format(run, world)
    initial_policy = load_policy(run.input(Role.INITIAL_POLICY), accelerator.device)
    run_params = RunParams.from_params(p)
    from_current = run_params.starts_from_earlier
    start_policy = load_policy(run.input(Role.EARLIER), accelerator.device) if from_current else initial_policy
    proxy = load_input_scorer(run, Role.PROXY_RM, prompt_format, accelerator.device) if has_proxy else None
    auxiliary_rms = {
        role: load_input_scorer(run, role, prompt_format, accelerator.device) for role in run_params.auxiliary_rms
    }
    prompts = world.prompts(split, p[f"{split}_prompts"])
    samples = PoolSamples(run.input(Role.SAMPLES) / Artifact.POOL_SAMPLES, prompts, prompt_format)
    pool = Pool.load(run.input(Role.POOL) / Artifact.POOL, samples)
    gold = load_gold(run, prompt_format, accelerator.device)
    evaluator = Evaluator(
        world=world,
        prompt_format=prompt_format,
        prompts=prompts,
        initial_policy=initial_policy,
        proxy=proxy,
        gold=gold,
        human_units=human_units(run),
        pool=pool,
        samples_per_prompt=samples_per_prompt,
        seed=stream_seed(f"{split} responses", p["world_seed"]),
        round_start=start_policy if from_current else None,
        auxiliary_rms=auxiliary_rms,
        resumption=run.resumption,
    )
    scorers = {**({"proxy": proxy} if proxy else {}), "gold": gold, **auxiliary_rms}
    return Measurement(accelerator, prompt_format, initial_policy, start_policy, proxy, samples, evaluator, scorers)


def load_task(run: Run, split: str) -> OptimizationTask:
    """Load the task of a policy run.

    Args:
        run: its inputs are those that `load_measurement` reads.
        split: the split whose prompts the evaluator measures on.
    """
    p = run.params
    method = METHODS[p["method"]]
    config = method.config_class.from_params(p)
    measurement = load_measurement(run, split, config.samples_per_prompt, method.needs_proxy)
    accelerator, round = measurement.accelerator, RunParams.from_params(p).round
    return OptimizationTask(
        initial_policy=measurement.initial_policy,
        start_policy=measurement.start_policy,
        proxy=measurement.proxy or NoProxy(),
        prompt_format=measurement.prompt_format,
        train_texts=open_world(run).prompts("train", TRAIN_PROMPTS),
        samples=measurement.samples,
        evaluator=measurement.evaluator,
        config=config,
        accelerator=accelerator,
        generator=torch_generator(p["method"], p["seed"], *([round] if round > 1 else []), device=accelerator.device),
        comparisons=None if method.needs_proxy else read_comparisons(run),
        progress=run.progress,
        memory=MemoryOptions.among(run.execution_options),
        resumption=run.resumption,
        scorers=measurement.scorers,
        cache=run.cache,
    )
