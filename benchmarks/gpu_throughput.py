"""Tokens per second, memory and share of the matmul limit for a policy size, on a GPU or a CPU. See README.md.

    python benchmarks/gpu_throughput.py --policy_size 85m --mixed_precision bf16 --batch_size 2048     (one large GPU)
    python benchmarks/gpu_throughput.py --policy_size 1m --batch_size 64                               (a CPU)

The policy has random weights, so its responses have full length. Three phases, run as the steps run them: supervised
training, sampling, and the gradient steps of PPO. Arithmetic is counted as 6 operations per parameter and token with
gradients and 2 without, excluding attention and embeddings; padding does not count as tokens. The limit is the rate of
one large square matmul on the same device in the precision of the phase.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from types import SimpleNamespace

import torch

from mlproject.config.schema import load_config
from mlproject.models.generation import sample
from mlproject.models.init import new_policy, new_reward_model, parameter_count
from mlproject.models.memory import MemoryOptions
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel
from mlproject.models.sequences import encode
from mlproject.models.sft import train_sft
from mlproject.models.sizes import POLICY_SIZES
from mlproject.models.training import Schedule
from mlproject.optimization.on_policy.actor import ActorCritic
from mlproject.optimization.on_policy.penalty import Penalty
from mlproject.optimization.on_policy.ppo import PPO
from mlproject.optimization.on_policy.ppo_config import PPOConfig
from mlproject.optimization.on_policy.rollouts import collect_rollouts
from mlproject.optimization.on_policy.update import update_policy
from mlproject.pipeline.loading import new_accelerator, numpy_generator
from mlproject.worlds import load_world


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy_size", default="1m", choices=POLICY_SIZES)
    parser.add_argument(
        "--mixed_precision", default="no", choices=("no", "bf16", "fp16"), help="precision of supervised training"
    )
    parser.add_argument("--batch_size", type=int, default=64, help="examples per step; PPO takes them as rollouts")
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--gradient_checkpointing", default="no", choices=("no", "yes"))
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one warm-up step")
    parser.add_argument("--ppo", default="yes", choices=("no", "yes"), help="measure sampling and PPO as well")
    options = parser.parse_args()

    machine = new_accelerator(options.mixed_precision)
    device, world = machine.device, load_world("helpdesk", 0)
    tokenizer = world.tokenizer()
    policy = new_policy(options.policy_size, tokenizer, 0).to(device)
    parameters = parameter_count(policy)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    print(f"{name}; torch {torch.__version__}; policy {options.policy_size}: {parameters:,} parameters; {options}")
    limits = {dtype: matmul_limit(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    print("matmul: " + ", ".join(f"{str(k)[6:]} {v / 1e12:.3g} TFLOP/s" for k, v in limits.items()))

    def report(phase: str, seconds: float, tokens: int, per_parameter: int, dtype: torch.dtype) -> None:
        share = per_parameter * parameters * tokens / seconds / limits[dtype]
        print(f"{phase:<9} {tokens / seconds:>12,.0f} tokens/s  {share:6.1%} of {str(dtype)[6:]}  {memory(device)}")

    prompts, responses = world.corpus(options.batch_size * options.steps, numpy_generator("throughput"))
    corpus = encode(tokenizer, prompts, responses, world.max_response_tokens)

    memory_options = MemoryOptions(
        accumulation=options.accumulation, gradient_checkpointing=options.gradient_checkpointing
    )

    def train(steps: int) -> None:
        schedule = Schedule(steps / options.steps, options.batch_size, 1e-6, memory_options)
        train_sft(policy, corpus, schedule, accelerator=machine, generator=torch.Generator().manual_seed(0))

    train(1)
    tokens = int(corpus.ends_B.sum())
    dtype = torch.bfloat16 if options.mixed_precision == "bf16" else torch.float32
    report("training", timed(device, lambda: train(options.steps)), tokens, 6, dtype)
    if options.ppo == "no":
        return

    prompt_format, texts = (
        PromptFormat(tokenizer, world.max_response_tokens),
        world.prompts("train", options.batch_size),
    )
    prompts = prompt_format.encode_prompts(texts).to(device)
    generator = torch.Generator(device=device).manual_seed(0)
    draw = lambda: sample(policy, prompts, max_new_tokens=world.max_response_tokens, generator=generator)  # noqa: E731
    draw()
    sequences = draw().sequences
    reset(device)
    report("sampling", timed(device, draw), int(sequences.response_lengths_B.sum()), 2, torch.float32)

    machine = new_accelerator()
    ppo = load_config("gpu", {}).of(PPOConfig)
    task = SimpleNamespace(
        config=replace(ppo, ppo_batch_size=options.batch_size, ppo_rollout_batch=0, ppo_epochs=1),
        memory=memory_options,
        accelerator=machine,
        generator=generator,
        prompt_format=prompt_format,
        train_texts=texts,
        train_prompts=prompts,
        initial_policy=policy,
        proxy=RewardModel(new_reward_model("1k", tokenizer, 0).to(device)),
    )
    actor_critic = ActorCritic(policy).to(device)
    optimizer = torch.optim.Adam(actor_critic.parameters(), lr=1e-9, fused=True)
    prepared, optimizer = machine.prepare(actor_critic, optimizer)
    rollouts, _ = collect_rollouts(task, actor_critic, PPO(task.config), Penalty(task.config, policy))
    update_policy(task, prepared, optimizer, rollouts, PPO(task.config))
    reset(device)
    seconds = timed(device, lambda: update_policy(task, prepared, optimizer, rollouts, PPO(task.config)))
    report("PPO", seconds, int(rollouts.sequences.ends_B.sum()), 6, torch.float32)


def matmul_limit(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a large square matmul, best of three runs."""
    size, repeats = (16384, 20) if device.type == "cuda" else (1536, 2)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    a @ b

    def run() -> None:
        for _ in range(repeats):
            a @ b

    return 2 * size**3 * repeats / min(timed(device, run) for _ in range(3))


def timed(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of the work, until the device has finished it."""
    wait(device)
    start = perf_counter()
    work()
    wait(device)
    return perf_counter() - start


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def memory(device: torch.device) -> str:
    """Peak memory so far: of the phase on a GPU, of the whole process on a CPU."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} of {total / 2**30:.0f} GiB"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"


if __name__ == "__main__":
    main()
