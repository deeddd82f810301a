"""The task of a policy run, put together from the artifacts of its inputs."""

from __future__ import annotations

import json
from collections.abc import Callable

from mlproject.models.reward_model import RewardModel
from mlproject.models.sequences import encode_prompts
from mlproject.optimization.meter import Meter, Snapshot
from mlproject.optimization.pool import Pool
from mlproject.optimization.problem import Problem
from mlproject.steps.common import (
    MODEL_FOLDER,
    accelerator,
    load_policy,
    load_tokenizer,
    stream_seed,
    torch_generator,
)
from mlproject.steps.pool import FILE
from mlproject.steps.step import Run
from mlproject.worlds import load_world

TRAIN_PROMPTS = 20_000
"""Training prompts that a method may sample responses for."""


def load_problem(run: Run, split: str, observe: Callable[[Snapshot], None] = lambda snapshot: None) -> Problem:
    """Load policies, reward models and pool, and set up the meter.

    Args:
        run: its inputs are `initial-policy`, `gold-rm`, `proxy-rm`, `pool` and, in a later round, `earlier`.
        split: of the prompts that the meter measures on.
        observe: told what the meter sees.
    """
    p = run.params
    world = load_world(p["world"], p["world_seed"])
    machine = accelerator()  # float32: a method says itself where less will do
    tokenizer = load_tokenizer(run.input("initial-policy"))
    initial_policy = load_policy(run.input("initial-policy"), machine.device)
    round, goes_on = p.get("round", 1), p.get("rounds_from") == "current"
    start_policy = load_policy(run.input("earlier"), machine.device) if goes_on else initial_policy
    proxy = RewardModel.load(run.input("proxy-rm") / MODEL_FOLDER, machine.device)
    pool = Pool.load(run.input("pool") / FILE)
    units = json.loads((run.input("gold-rm") / "units.json").read_text())
    meter = Meter(
        world=world,
        tokenizer=tokenizer,
        prompts=world.prompts(split, p[f"{split}_prompts"]),
        initial_policy=initial_policy,
        proxy=proxy,
        gold=RewardModel.load(run.input("gold-rm") / MODEL_FOLDER, machine.device),
        human_units=(units["human_mean"], units["human_std"]),
        pool=pool,
        samples_per_prompt=p.get("eval_samples", 1),
        seed=stream_seed(f"{split} responses", p["world_seed"]),
        round_start=start_policy if goes_on else None,
        observe=observe,
    )
    return Problem(
        initial_policy=initial_policy,
        start_policy=start_policy,
        proxy=proxy,
        train_prompts=encode_prompts(tokenizer, world.prompts("train", TRAIN_PROMPTS)).to(machine.device),
        samples=pool.sequences,
        samples_per_prompt=pool.shape[1],
        log_prob_PN=pool.log_prob_PN,
        meter=meter,
        max_response_tokens=world.max_response_tokens,
        options={**run.how, **p},
        accelerator=machine,
        generator=torch_generator(p["method"], p["seed"], *([round] if round > 1 else []), device=machine.device),
        progress=run.progress,
    )
