"""CPU seconds of every phase of a study, and its share of the matrix-product limit, alone or against another tree.

    python benchmarks/phases.py                                      (this tree, one thread)
    python benchmarks/phases.py --against OTHER/src --repeats 3      (alternating with another version of the project)

Operations are those of the matrix products and attention that torch executes, padding included (`FlopCounterMode`).
The first limit is the rate of a large square product on as many threads; the second one that of products with the
shapes of the policy's own layers, at the tokens of a PPO minibatch. See README.md.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import logging
import os
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any

OPTIONS: dict[str, Any] = {
    "kl_coef": 0.0,
    "ppo_batch_size": 256,
    "ppo_epochs": 2,
    "ppo_minibatches": 4,
    "ppo_clip": 0.2,
}
OPTIONS |= {
    "ppo_gae_lambda": 0.95,
    "ppo_rollout_batch": 0,
    "ppo_mixed_precision": "no",
    "lora_rank": 0,
    "gradient_penalty": 0,
    "ppo_value_lr": 2e-3,
    "kl_in": "reward",
    "kl_estimator": "k1",
    "kl_target": "off",
}
SFT_STEPS, SFT_BATCH, RM_STEPS, RM_BATCH = 60, 256, 40, 64
POOL_PROMPTS, POOL_SAMPLES = 8, 256
UNITS = {
    "supervised step": f"{SFT_BATCH} examples",
    "RM step": f"{RM_BATCH} comparisons",
    "generation, rollouts": "256 prompts x 1",
    "generation, pool": f"{POOL_PROMPTS} prompts x {POOL_SAMPLES}",
    "scoring, rollouts": "256 responses",
    "scoring, pool": f"{POOL_PROMPTS} x {POOL_SAMPLES} responses",
    "exact KL": "256 responses",
    "PPO, rollouts": "256 rollouts",
    "PPO, learning": "8 gradient steps of 64",
}


def find(*places: str) -> Any:
    """The first of several `module:name` that exists: versions of the project name the same things differently."""
    for place in places:
        module, name = place.split(":")
        try:
            return getattr(importlib.import_module(f"mlproject.{module}"), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"none of {', '.join(places)} exists")


def phases(threads: int, size: str, rm_size: str) -> dict[str, Callable[[], object]]:
    """What each phase runs, by name; the policy has been trained just enough for realistic response lengths."""
    import torch
    from accelerate import Accelerator

    torch.set_num_threads(threads)
    models = "models.init", "models.build"
    new_policy, new_rm = (find(*(f"{m}:{name}" for m in models)) for name in ("new_policy", "new_reward_model"))
    train_policy = find("models.sft:train_sft", "models.policy:train_policy")
    prompt_format_class = find("models.prompt_format:PromptFormat", "models.reader:Reader")
    old, sample = "optimization.ppo", find("models.generation:sample")
    actor_class = find("optimization.on_policy.actor:ActorCritic", f"{old}:ActorCritic")
    collect = find("optimization.on_policy.rollouts:collect_rollouts", f"{old}:collect_rollouts", f"{old}:collect")
    learn = find("optimization.on_policy.update:update_policy", f"{old}:update_policy", f"{old}:improve")
    schedule, encode = find("models.training:Schedule"), find("models.sequences:encode")
    world = find("worlds:load_world")("helpdesk", 0)

    machine, tokenizer = Accelerator(cpu=True), world.tokenizer()
    import numpy as np

    corpus_texts = world.corpus(SFT_STEPS * SFT_BATCH, np.random.default_rng(0))
    corpus = encode(tokenizer, *corpus_texts, world.max_response_tokens)
    policy = new_policy(size, tokenizer, 0)
    generator = torch.Generator().manual_seed(0)

    def supervised(model: Any = None, steps: int = 10) -> None:
        part = corpus if steps == SFT_STEPS else corpus.select(torch.arange(steps * SFT_BATCH))
        train_policy(model or copy.deepcopy(policy), part, schedule(1, SFT_BATCH, 3e-3), accelerator=machine,
                     generator=torch.Generator().manual_seed(0))  # fmt: skip

    supervised(policy, SFT_STEPS)
    policy.eval()
    texts = world.prompts("train", 256)
    prompt_format = prompt_format_class(tokenizer, world.max_response_tokens)
    prompts = prompt_format.encode_prompts(texts)
    longest = world.max_response_tokens
    rollouts = lambda: sample(policy, prompts, max_new_tokens=longest, generator=generator)  # noqa: E731
    some = prompts.select(torch.arange(POOL_PROMPTS))
    pool = lambda: sample(  # noqa: E731
        policy, some, max_new_tokens=longest, generator=generator, samples_per_prompt=POOL_SAMPLES
    )
    drawn, drawn_pool = rollouts().sequences, pool().sequences
    reward_model = find("models.reward_model:RewardModel")(new_rm(rm_size, tokenizer, 0).eval())
    pairs = SimpleNamespace(
        a=corpus.select(slice(0, 10 * RM_BATCH)), b=corpus.select(slice(10 * RM_BATCH, 20 * RM_BATCH))
    )
    pairs.prefers_a_B = np.random.default_rng(1).random(10 * RM_BATCH) < 0.5
    pairs.margin_B = np.zeros(10 * RM_BATCH)
    trained_rm = new_rm(rm_size, tokenizer, 1)

    config = SimpleNamespace(**OPTIONS)
    task = SimpleNamespace(
        config=config, options=OPTIONS, accelerator=machine, generator=generator, prompt_format=prompt_format,
        reader=prompt_format, train_texts=texts, train_prompts=prompts, initial_policy=policy, proxy=reward_model,
        memory=SimpleNamespace(accumulation=1, recomputes_layers=False),
    )  # fmt: skip
    actor_critic = actor_class(copy.deepcopy(policy))
    optimizer = torch.optim.Adam(actor_critic.parameters(), lr=1e-9, fused=True)
    prepared, optimizer = machine.prepare(actor_critic, optimizer)
    actor_critic.policy.eval()
    try:
        objective = (find("optimization.on_policy.ppo:PPO")(config),)
        penalty = (find("optimization.on_policy.penalty:Penalty")(config, policy),)
    except ImportError:  # versions whose PPO was the only one
        objective, penalty = (), ()
    batch, _ = collect(task, actor_critic, *objective, *penalty)
    return {
        "supervised step": supervised,
        "RM step": lambda: find("preferences.bradley_terry:train_reward_model")(
            trained_rm, pairs, schedule(1, RM_BATCH, 1e-9), accelerator=machine,
            generator=torch.Generator().manual_seed(0),
        ),
        "generation, rollouts": rollouts,
        "generation, pool": pool,
        "scoring, rollouts": lambda: reward_model.raw_scores(drawn),
        "scoring, pool": lambda: reward_model.raw_scores(drawn_pool),
        "exact KL": lambda: find("models.log_probs:measure_kl")(actor_critic.policy, policy, drawn),
        "PPO, rollouts": lambda: collect(task, actor_critic, *objective, *penalty),
        "PPO, learning": lambda: learn(task, prepared, optimizer, batch, *objective),
    }  # fmt: skip


def measure(threads: int, size: str, rm_size: str) -> dict[str, Any]:
    """Limits in operations per second; CPU seconds and operations of each phase, for one of its units."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    measured: dict[str, Any] = {"phases": {}}
    with torch.random.fork_rng():
        works = phases(threads, size, rm_size)
    from mlproject.models.sizes import SIZES

    width = SIZES[size].width
    measured["large"] = matmul_rate(1024, 1024, 1024)
    shapes = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    own = [(2 * 1024 * a * b, matmul_rate(1024, a, b)) for a, b in shapes]
    measured["own"] = sum(operations for operations, _ in own) / sum(operations / rate for operations, rate in own)
    for name, work in works.items():
        with FlopCounterMode(display=False) as counter:
            work()
        repeats = 10 if name in ("supervised step", "RM step") else 1  # these take ten steps in one call
        seconds = min(cpu_seconds(work) for _ in range(5)) / repeats
        measured["phases"][name] = seconds, counter.get_total_flops() / repeats
    return measured


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of all threads: they do not depend on what else the machine does, as long as caches suffice."""
    start = process_time()
    work()
    return process_time() - start


def matmul_rate(rows: int, inner: int, columns: int) -> float:
    """Operations per CPU second of one thread of a matrix product, best of five."""
    import torch

    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    repeats = max(1, 2**31 // (2 * rows * inner * columns))

    def work() -> None:
        for _ in range(repeats):
            a @ b

    work()
    return 2 * rows * inner * columns * repeats / min(cpu_seconds(work) for _ in range(5))


def run_with(source: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The measurements of a source tree, in a process of its own."""
    own = [sys.executable, __file__, "--json", "--threads", str(arguments.threads)]
    own += ["--policy_size", arguments.policy_size, "--rm_size", arguments.rm_size]
    finished = subprocess.run(own, env={**os.environ, "PYTHONPATH": source}, check=True, stdout=subprocess.PIPE)
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return result


def show(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    """The table: medians over repeats; a column of the other tree where there is one."""
    middle = statistics.median
    large, own = (middle(run[name] for run in after) for name in ("large", "own"))
    print(f"limits: {large / 1e9:.0f} GFLOP/s per CPU second (1024 x 1024), {own / 1e9:.0f} at the policy's shapes")
    print(f"{'phase':22s}{'unit':24s}{'CPU ms':>9s}{'GFLOP/s':>9s}{'share':>7s}{'own':>6s}", end="")
    print(f"{'other ms':>10s}{'share':>7s}{'ratio':>7s}" if before else "")
    for name, unit in UNITS.items():
        seconds = middle(run["phases"][name][0] for run in after)
        rate = after[0]["phases"][name][1] / seconds
        print(f"{name:22s}{unit:24s}{1e3 * seconds:9.1f}{rate / 1e9:9.1f}{rate / large:7.0%}{rate / own:6.0%}", end="")
        if not before:
            print()
            continue
        other = middle(run["phases"][name][0] for run in before)
        ratio = middle(b["phases"][name][0] / a["phases"][name][0] for b, a in zip(before, after, strict=True))
        print(f"{1e3 * other:10.1f}{before[0]['phases'][name][1] / other / large:7.0%}{ratio:7.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--policy_size", default="100k")
    parser.add_argument("--rm_size", default="100k")
    parser.add_argument("--against", help="src folder of another version of the project")
    parser.add_argument("--repeats", type=int, default=1, help="processes for each tree, alternating")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):  # read when the libraries load
        os.environ[name] = str(arguments.threads)
    warnings.filterwarnings("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if arguments.json:
        print(json.dumps(measure(arguments.threads, arguments.policy_size, arguments.rm_size)))
        return
    before, after = [], []
    for _ in range(arguments.repeats):
        if arguments.against:
            before.append(run_with(arguments.against, arguments))
        after.append(run_with(str(Path(__file__).parents[1] / "src"), arguments))
    print(f"{arguments.threads} threads, policy {arguments.policy_size}, RM {arguments.rm_size}")
    print(f"medians of {arguments.repeats} processes; load average {os.getloadavg()[0]:.1f}")
    show(before, after)


if __name__ == "__main__":
    main()
